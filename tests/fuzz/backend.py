"""`python -m tests.fuzz.backend [MINUTES] [SEED]`: exit code 0 if no answer of a backend did any harm.

The service runs as a process of its own, between visitors and a backend that sends whatever comes to mind.
Every client gets a valid refusal or a valid stream with one end, its conversation can be read and goes on,
`/health` answers within a second, memory stays bounded, and no defect is logged.
"""

import asyncio
import collections
import json
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from app.embedded.store import embedded_store
from tests.fuzz.backend_answers import answer_by
from tests.support.backend import Backend, Exchange, running_backend, says
from tests.support.process import ServiceProcess, started

_VISITORS = 8
_HEALTH_SECONDS = 1.0
_GROWTH_MB = 300.0
"""A flood may hold some 10 MB of a turn in memory for as long as the turn can be followed."""
_SOUND = "Are you still there?"


@dataclass
class Findings:
    """What a run has seen."""

    asked: collections.Counter[str] = field(default_factory=collections.Counter)
    ends: collections.Counter[str] = field(default_factory=collections.Counter)
    health_seconds: float = 0.0
    harm: list[str] = field(default_factory=list)


async def main(minutes: float, seed: int) -> int:
    """Run, and report the findings."""
    findings = Findings()
    with tempfile.TemporaryDirectory() as folder, embedded_store(Path(folder)) as store_url:
        async with (
            running_backend() as backend,
            started(
                Path(folder),
                llm_base_url=backend.url,
                llm_model="test-model",
                llm_max_tokens=256,
                llm_first_token_timeout_seconds=8,
                llm_token_gap_timeout_seconds=4,
                llm_total_timeout_seconds=20,
                redis_url=store_url,
                resume_ttl_seconds=20,
                history_ttl_seconds=60,
                rate_limit_turns_per_minute=0,
            ) as (service, client),
        ):
            await _run(findings, backend, service, client, minutes=minutes, seed=seed)
    _say(f"{findings.asked.total()} answers of a backend with seed {seed}: {dict(findings.asked)}")
    _say(f"their ends: {dict(findings.ends.most_common())}")
    _say("\n".join(findings.harm[:30]) or "no harm")
    return 1 if findings.harm else 0


async def _run(
    findings: Findings,
    backend: Backend,
    service: ServiceProcess,
    client: httpx.AsyncClient,
    *,
    minutes: float,
    seed: int,
) -> None:
    async def script(exchange: Exchange) -> None:
        question = exchange.body["messages"][-1]["content"]
        if question == _SOUND:
            await says("Yes")(exchange)
            return
        name, answer = answer_by(random.Random(question))  # noqa: S311 - what is found can be repeated
        findings.asked[name] += 1
        await answer(exchange)

    backend.script = script
    until = time.monotonic() + minutes * 60
    before = _memory_mb(service)
    reading = asyncio.create_task(_read_log(service, findings))
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(asyncio.to_thread(_watch_health, client, findings, until))
            for n in range(_VISITORS):
                tasks.create_task(_visit(client, findings, f"{seed}-{n}", until))
        assert service.process.returncode is None, "the service has ended"
        after = _memory_mb(service)
    finally:
        reading.cancel()
        await asyncio.wait({reading})
    _say(f"/health: {findings.health_seconds * 1000:.0f} ms at most")
    _say(f"memory: {before:.0f} MB, then {after:.0f} MB")
    if findings.health_seconds > _HEALTH_SECONDS:
        findings.harm.append("/health took too long")
    if after > before + _GROWTH_MB:
        findings.harm.append("memory grows")


async def _visit(client: httpx.AsyncClient, findings: Findings, name: str, until: float) -> None:
    n = 0
    while time.monotonic() < until:
        n += 1
        user = f"user-{name}-{n}"
        try:
            findings.ends[await _ask(client, user, f"question {name} {n}")] += 1
            page = await client.get(f"/users/{user}/conversations/default")
            assert page.status_code in {200, 404}, page.status_code
            end = await _ask(client, user, _SOUND)
            assert end == "[DONE]", end
        except Exception as error:  # noqa: BLE001 - any of them is a finding
            findings.harm.append(f"question {name} {n}: {error!r}"[:300])


async def _ask(client: httpx.AsyncClient, user: str, message: str) -> str:
    """Ask; hold the answer against the contract, and return its end."""
    response = await client.post("/chat", json={"user_id": user, "message": message, "if_busy": "interrupt"})
    if response.status_code != httpx.codes.OK:
        code: str = response.json()["error"]["code"]
        assert response.status_code != httpx.codes.INTERNAL_SERVER_ERROR, response.text
        return f"{response.status_code} {code}"
    events = [each for each in response.content.decode().split("\n\n") if each and not each.startswith(":")]
    for n, each in enumerate(events[:-1], 1):
        line, _, data = each.partition("\ndata: ")
        assert line.endswith(f"-{n}"), line
        json.loads(data, parse_constant=_refuse_constant)
    line, _, data = events[-1].partition("\ndata: ")
    assert line.endswith("-end"), line
    end: str = data if data == "[DONE]" else json.loads(data)["error"]["code"]
    assert end != "internal_error"
    return end


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _watch_health(client: httpx.AsyncClient, findings: Findings, until: float) -> None:
    """Ask in a thread of its own: the loop here is as busy as a flooding backend makes it."""
    while time.monotonic() < until:
        began = time.monotonic()
        try:
            httpx.get(client.base_url.join("/health"), timeout=10).raise_for_status()
        except httpx.HTTPError as error:
            findings.harm.append(f"/health: {error!r}")
        findings.health_seconds = max(findings.health_seconds, time.monotonic() - began)
        time.sleep(0.05)


async def _read_log(service: ServiceProcess, findings: Findings) -> None:
    assert service.process.stderr is not None
    async for line in service.process.stderr:
        if b"defect" in line or b'"exception"' in line or b"unseen" in line:
            findings.harm.append(line.decode()[:1000])


def _memory_mb(service: ServiceProcess) -> float:
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a program's output


if __name__ == "__main__":
    arguments = dict(enumerate(sys.argv))
    sys.exit(asyncio.run(main(float(arguments.get(1, "10")), int(arguments.get(2, "0")))))
