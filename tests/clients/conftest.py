"""Real client packages of Node.js, which `make` brings from npm: `package.json` pins them."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.main import create_app
from tests.support.backend import Backend
from tests.support.proxy import Proxy, proxy_to
from tests.support.service import serving, settings_for

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PACKAGES = ROOT / ".venv" / "npm-clients"
SECONDS = 30

KEY = "key-one-0123456789"


@dataclass
class Client:
    """A running script."""

    process: Process

    async def line(self) -> Any:
        """Return what it prints next."""
        assert self.process.stdout is not None
        async with asyncio.timeout(SECONDS):
            line = await self.process.stdout.readline()
        if not line:
            _, errors = await self.process.communicate()
            pytest.fail(f"it has ended: {errors.decode()}")
        return json.loads(line)

    def go_on(self) -> None:
        """Let it go on, if it waits for that."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")

    async def end(self) -> None:
        """Wait for its end, which has to be a good one."""
        async with asyncio.timeout(SECONDS):
            _, errors = await self.process.communicate()
        assert self.process.returncode == 0, errors.decode()


Run = Callable[[str, str], AbstractAsyncContextManager[Client]]


@pytest.fixture(scope="session")
def node() -> list[str]:
    """The command of Node.js. If it or the packages are missing, these tests are skipped."""
    sys.path.insert(0, str(ROOT / "tools"))
    from npm_clients import are_complete  # noqa: PLC0415 - a script beside the project's packages
    from npm_packages import node_command  # noqa: PLC0415 - see above

    command = node_command()
    if command is None:
        pytest.skip("there is no Node.js on this machine")
    if not are_complete():
        pytest.skip("npm's packages for clients are missing; type: make npm-clients")
    return command


@pytest.fixture
async def proxy(backend: Backend, valkey_url: str) -> AsyncIterator[Proxy]:
    """A line to the service that can be cut."""
    settings = settings_for(
        llm_base_url=backend.url,
        redis_url=valkey_url,
        llm_allowed_models=("org/other",),
        llm_status_wait_seconds=0.2,
        api_keys=(KEY,),
    )
    async with (
        serving(create_app(settings)) as client,
        proxy_to(("127.0.0.1", client.base_url.port or 0)) as proxy,
    ):
        yield proxy


@pytest.fixture
def run(node: list[str], proxy: Proxy) -> Run:
    """Start a script of this folder with the name of what it is to do."""

    @asynccontextmanager
    async def start(script: str, scenario: str) -> AsyncIterator[Client]:
        environment = {
            "PATH": os.environ["PATH"],
            "SCENARIO": scenario,
            "API_KEY": KEY,
            "CHAT_MODEL": "test-model",
            "CHAT_URL": f"http://127.0.0.1:{proxy.port}",
            "TRANSPORT": (ROOT / "examples" / "ai-sdk-transport.mjs").as_uri(),
        }
        # A text is looked up as if it were in the current folder, which is that of the packages.
        command = [*node, "--input-type=module", "--eval", (HERE / script).read_text()]
        process = await create_subprocess_exec(
            *command, cwd=PACKAGES, env=environment, stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        try:
            yield Client(process)
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    return start
