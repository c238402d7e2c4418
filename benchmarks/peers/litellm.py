"""LiteLLM proxy, as its documentation sets it up: one model, one worker, no database."""

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from benchmarks.answers import MODEL
from benchmarks.load import Address
from benchmarks.peers.peer import Peer, Server, completion_request
from benchmarks.process import ROOT, StartError, environment, free_port, running, until_it_listens
from benchmarks.stage import Stage

_COMMAND = ROOT / ".venv-litellm" / "bin" / "litellm"


def is_installed() -> bool:
    """Tell whether `make bench` has set it up."""
    return _COMMAND.exists()


@asynccontextmanager
async def _start(stage: Stage) -> AsyncIterator[Server]:
    if not is_installed():
        raise StartError("LiteLLM is not installed; `make bench` installs it")
    address = Address(free_port())
    # It does not start without a key, and in production it has one.
    key = f"sk-{secrets.token_hex(32)}"
    configuration = stage.folder / "litellm.yaml"
    # JSON is also YAML.
    configuration.write_text(
        json.dumps(
            {
                "model_list": [
                    {
                        "model_name": MODEL,
                        "litellm_params": {
                            "model": f"openai/{MODEL}",
                            "api_base": stage.backend_url,
                            "api_key": "none",
                        },
                    }
                ],
                "litellm_settings": {"telemetry": False},
            }
        )
    )
    async with running(
        [
            str(_COMMAND),
            *("--config", str(configuration), "--host", address.host, "--port", str(address.port)),
            *("--num_workers", "1"),
        ],
        cores=stage.cores.server,
        # With its own folder as home and the package's price list it needs no network.
        env=environment(
            home=stage.folder,
            pythonpath="",
            litellm_master_key=key,
            litellm_local_model_cost_map="True",
            litellm_mode="PRODUCTION",
            litellm_log="ERROR",
        ),
        folder=stage.folder,
        log="litellm.log",
    ) as process:
        await until_it_listens(process, address.port, stage.folder / "litellm.log")
        yield Server(address, partial(completion_request, Authorization=f"Bearer {key}"), process.pid)


LITELLM = Peer("litellm", "LiteLLM proxy", _start)
