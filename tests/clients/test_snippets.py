"""The snippets of `docs/clients.md` do what the page says."""

import asyncio
import re
import shutil
import sys
from asyncio.subprocess import PIPE, create_subprocess_exec
from pathlib import Path

import pytest

from app.main import create_app
from tests.clients.conftest import PACKAGES, ROOT, SECONDS
from tests.support.backend import Backend
from tests.support.service import serving, settings_for

SNIPPETS = re.findall(
    r"^```(\w+)\n(.*?)^```$", (ROOT / "docs" / "clients.md").read_text(), re.MULTILINE | re.DOTALL
)


def snippet(language: str, word: str) -> str:
    [text] = [text for each, text in SNIPPETS if each == language and word in text]
    return str(text)


async def output_of(command: list[str], backend: Backend, valkey_url: str, folder: Path) -> str:
    """Run a command against a service of its own, to which the snippet's address is changed."""
    model = {"llm_model": "smollm2-135m-instruct"}
    app = create_app(settings_for(llm_base_url=backend.url, redis_url=valkey_url, **model))
    async with serving(app) as client:
        own = [part.replace("http://localhost:8000", str(client.base_url).rstrip("/")) for part in command]
        process = await create_subprocess_exec(*own, cwd=folder, stdout=PIPE, stderr=PIPE)
        async with asyncio.timeout(SECONDS):
            output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return output.decode()


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl on this machine")
async def test_curl_prints_a_stream(backend: Backend, valkey_url: str, tmp_path: Path) -> None:
    output = await output_of(["sh", "-c", snippet("sh", "curl")], backend, valkey_url, tmp_path)
    assert output.endswith("data: [DONE]\n\n")


async def test_openai_python_prints_an_answer(backend: Backend, valkey_url: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", snippet("python", "import OpenAI\n")]
    assert (await output_of(command, backend, valkey_url, tmp_path)).endswith("Hello, world")


@pytest.mark.parametrize("package", ['"openai"', '"ai"'])
async def test_packages_of_node_print_an_answer(
    package: str, node: list[str], backend: Backend, valkey_url: str
) -> None:
    command = [*node, "--input-type=module", "--eval", snippet("js", f"from {package}")]
    assert (await output_of(command, backend, valkey_url, PACKAGES)).endswith("Hello, world")
