"""The model's child process: `python -m app.embedded.llama_server WEIGHTS NAME`."""

import os
import signal
import sys

import xllamacpp


def main(weights: str, name: str) -> None:
    """Print the address and serve until SIGTERM."""
    params = xllamacpp.CommonParams()
    params.model.path = weights
    params.model_alias = {name}
    params.port = 0
    params.n_parallel = 4
    # All requests share one window of the model's full length.
    params.kv_unified = True
    params.cpuparams_batch.n_threads = max(1, (os.cpu_count() or 2) - 1)
    # With llama.cpp's own defaults so small a model rambles.
    params.sampling.temp = 0.2
    params.sampling.top_p = 0.9
    # Its default keeps up to 8 GiB of old prompts.
    params.cache_ram_mib = 0
    params.ui = False
    params.offline = True
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)  # noqa: T201 - what the parent waits for
    signal.sigwait({signal.SIGTERM})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    main(*sys.argv[1:])
