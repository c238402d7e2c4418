"""The model's child process: `python -m app.embedded.llama_server WEIGHTS NAME`."""

import os
import signal
import sys

import xllamacpp

from app.embedded.model import KEY_VARIABLE


def main(weights: str, name: str) -> None:
    """Print the address and serve until SIGTERM."""
    params = xllamacpp.CommonParams()
    params.model.path = weights
    params.model_alias = {name}
    params.port = 0
    # llama.cpp lets any web page call it. None can without the key.
    params.api_keys = [os.environ[KEY_VARIABLE]]
    params.n_parallel = 4
    # All requests share one window of the model's full length.
    params.kv_unified = True
    # Its threads wait for each other after every layer, so one that has to share its core slows down all.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = max(1, _usable_cores() - 1)
    # With llama.cpp's own defaults so small a model rambles and repeats itself.
    params.sampling.temp = 0.2
    params.sampling.top_p = 0.9
    params.sampling.penalty_repeat = 1.1
    params.sampling.penalty_last_n = 256
    # Its default keeps up to 8 GiB of old prompts.
    params.cache_ram_mib = 0
    params.ui = False
    params.offline = True
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)  # noqa: T201 - what the parent waits for
    signal.sigwait({signal.SIGTERM})


def _usable_cores() -> int:
    if sys.platform == "linux":  # elsewhere processes are not bound to cores
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 2


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    main(*sys.argv[1:])
