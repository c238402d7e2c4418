"""vLLM on the CPU, as a child process that ends with the tests."""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from app.embedded.process import EmbeddedProcess
from tests.support.process import ROOT
from tests.vllm.tiny_model import WINDOW, write_tiny_model

MODEL = "tiny"

_PYTHON = ROOT / ".venv-vllm" / "bin" / "python"
_START_SECONDS = 600.0
_ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}


@dataclass(frozen=True)
class Vllm:
    """A started vLLM."""

    url: str
    http: httpx.Client
    process: EmbeddedProcess

    def wait_until_loaded(self) -> None:
        """Wait until it answers."""
        self.process.wait_until(self._is_healthy, seconds=_START_SECONDS)

    def running(self) -> int:
        """The requests that it works on."""
        return self._measured("vllm:num_requests_running")

    def generated(self) -> int:
        """The tokens that it has generated so far."""
        return self._measured("vllm:generation_tokens_total")

    def _is_healthy(self) -> bool:
        try:
            return self.http.get("/health").is_success
        except httpx.TransportError:
            return False

    def _measured(self, name: str) -> int:
        metrics = self.http.get("/metrics").text
        found = re.search(rf"^{name}\{{.*\}} (\S+)$", metrics, re.MULTILINE)
        assert found is not None, metrics
        return int(float(found[1]))


@contextmanager
def started_vllm(folder: Path, *, with_chat_template: bool = True) -> Iterator[Vllm]:
    """Start vLLM on a tiny model in `folder`; it has yet to load."""
    write_tiny_model(folder, with_chat_template=with_chat_template)
    port = _free_port()
    command = [
        # Nobody reads the standard output; the standard error is the log.
        *("/bin/sh", "-c", 'exec "$@" >&2', "sh"),
        # While it loads, vLLM does not heed a SIGTERM.
        *("timeout", "--kill-after=5", "1h"),
        *("env", *(f"{name}={value}" for name, value in _ENVIRONMENT.items())),
        # Not `vllm serve`, which asks for the version of a package `vllm`: this one is called `vllm-cpu`.
        *(str(_PYTHON), "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", str(folder)),
        *("--served-model-name", MODEL),
        *("--host", "127.0.0.1"),
        *("--port", str(port)),
        *("--load-format", "dummy"),
        *("--dtype", "float32"),
        *("--max-model-len", str(WINDOW)),
        # Compiling takes longer than all the tests.
        "--enforce-eager",
    ]
    url = f"http://127.0.0.1:{port}"
    with (
        EmbeddedProcess("vLLM", command, log_file=folder / "vllm.log") as process,
        httpx.Client(base_url=url, timeout=60) as http,
    ):
        yield Vllm(url, http, process)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port
