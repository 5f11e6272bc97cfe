"""Clients that tell exactly what they got: all of it, an honest error after some of it, a failure before anything, or a
clean end that was made up."""

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp
import msgspec

from tests.chaos.upstream import TEXT

KINDS = ("chat", "chat stream", "messages", "messages stream")
PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages"}


@dataclass
class Report:
    """What all clients saw. `first` has the moment of the first content by id; `failed` are words for people."""

    verdicts: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    first: dict[str, float] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


async def client(
    url: str,
    name: str,
    requests: int,
    chance: random.Random,
    report: Report,
    over: Callable[[], bool] = lambda: True,
) -> None:
    """One client with its own connections, one request after another: so many, and more until it is `over`."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)) as session:
        for number in itertools.count():
            if number >= requests and over():
                return
            id = f"{name}-{number}"
            report.ids.append(id)
            leaves = chance.random() < 0.03
            began = time.monotonic()
            try:
                verdict = await _ask(session, url, id, chance.choice(KINDS), leaves, report)
            except (aiohttp.ClientError, TimeoutError) as error:
                verdict = "failed"
                report.failed.append(f"{id}: {error!r}")
            report.verdicts[verdict] += 1
            report.seconds.append(time.monotonic() - began)
            await asyncio.sleep(chance.random() * 0.05)


async def _ask(session: aiohttp.ClientSession, url: str, id: str, kind: str, leaves: bool, report: Report) -> str:
    protocol, _, stream = kind.partition(" ")
    body = {"model": "m", "max_tokens": 100, "stream": bool(stream), "messages": [{"role": "user", "content": id}]}
    async with session.post(url + PATHS[protocol], json=body, headers={"X-Request-ID": id}) as answer:
        if answer.status != 200:
            report.failed.append(f"{id}: {kind} {answer.status} {(await answer.text())[:200]}")
            return "failed"
        got = b""
        while piece := await answer.content.readany():
            got += piece
            if id not in report.first and (not stream or b"word0" in got):
                report.first[id] = time.monotonic()
            if leaves and stream and b"word3" in got:
                answer.close()
                return "left"
    return _judge(protocol, bool(stream), got, id, report)


def _judge(protocol: str, stream: bool, got: bytes, id: str, report: Report) -> str:
    text, ended, error = (_streamed if stream else _whole)(protocol, got)
    if ended and not error:
        if text == TEXT:
            return "whole"
        report.failed.append(f"{id}: a clean end after {len(text)} of {len(TEXT)} characters")
        return "made up"
    if text and error:
        return "honest error"
    report.failed.append(f"{id}: {got[-300:]!r}")
    return "cut without a word" if text else "failed"


def _streamed(protocol: str, got: bytes) -> tuple[str, bool, bool]:
    """The text, whether it ended clean, whether there was an error."""
    records = [line[6:] for line in got.splitlines() if line.startswith(b"data: ")]
    values = [msgspec.json.decode(record) for record in records if record != b"[DONE]"]
    if protocol == "chat":
        choices = [choice for value in values for choice in value.get("choices", ())]
        text = "".join(choice["delta"].get("content") or "" for choice in choices)
        return text, any(choice["finish_reason"] for choice in choices), any("error" in value for value in values)
    text = "".join(v["delta"].get("text", "") for v in values if v["type"] == "content_block_delta")
    types = {value["type"] for value in values}
    return text, "message_stop" in types, "error" in types


def _whole(protocol: str, got: bytes) -> tuple[str, bool, bool]:
    value = msgspec.json.decode(got)
    if protocol == "chat":
        return value["choices"][0]["message"]["content"], True, False
    return "".join(part["text"] for part in value["content"]), True, False
