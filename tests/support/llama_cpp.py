"""A llama.cpp with a given context: `python -m tests.support.llama_cpp PORT WEIGHTS CONTEXT_TOKENS`."""

import signal
import sys

import xllamacpp


def main(port: str, weights: str, context_tokens: str) -> None:
    """Serve until SIGTERM."""
    params = xllamacpp.CommonParams()
    params.model.path = weights
    params.model_alias = {"test-model"}
    params.port = int(port)
    params.n_ctx = int(context_tokens)
    params.n_parallel = 1
    # Two threads wait for each other by spinning, which is slow while other tests run.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.sampling.temp = 0.0
    params.endpoint_slots = True
    params.cache_ram_mib = 0
    params.ui = False
    params.offline = True
    server = xllamacpp.Server(params)
    signal.sigwait({signal.SIGTERM})
    del server


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    main(*sys.argv[1:])
