"""Logging: no secret gets out, lines are whole JSON, the ring counts on, files rotate."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from llm_mux import log


@pytest.fixture
def out() -> Iterator[io.BytesIO]:
    stream = io.BytesIO()
    log.configure(debug=True, stream=stream)
    log.ring.clear()
    yield stream
    log.configure(stream=io.BytesIO())


def lines(stream: io.BytesIO) -> list[dict[str, Any]]:
    log.flush()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


PLANTED = [
    "sk-ant-api03-PLANTED_secret-1",
    "sk-proj-PLANTEDsecret2",
    "AIzaSyPLANTEDsecret3xxxxxxxxxxxxxxxx",
    "Bearer PLANTED.secret-4",
    "Basic UExBTlRFRDpzZWNyZXQ=",
    "https://api.example/v1beta/models?key=PLANTED-5&alt=sse",
    "https://sso.example/callback?code=PLANTED-6&state=x",
    "https://user:PLANTED-7@proxy.example:3128",
    "ghp_PLANTEDsecret8xxxxxxxxxxxx",
    "github_pat_PLANTEDsecret9xxxxxx",
    "gsk_PLANTEDsecret10xxxx",
    "hf_PLANTEDsecret11xxxx",
    "xai-PLANTEDsecret12",
    "ya29.PLANTEDsecret13",
    "AKIAPLANTED14XXXXXX",
    "eyJPLANTED15xxxxx.eyJPLANTED15.sig",
    "pplx-PLANTEDsecret16",
    "-----BEGIN PRIVATE KEY-----\nPLANTED17\n-----END PRIVATE KEY-----",
]
NAMES = [
    *("authorization", "Authorization", "proxy-authorization", "api_key", "x-api-key", "apikey", "X-Goog-Api-Key"),
    *("token", "access_token", "refresh_token", "id-token", "client_secret", "cookie", "Set-Cookie", "password"),
    *("passphrase", "management_key", "key", "jwt", "credentials"),
]


@pytest.mark.parametrize("secret", PLANTED)
def test_text_that_looks_like_a_key_never_leaves(out: io.BytesIO, secret: str) -> None:
    log.logger.info(
        "test.planted", detail=f"refused: {secret} was not accepted", nested={"list": [secret, {"a": secret}]}
    )
    log.exchange(model="m", detail=secret)
    log.logger.bind(bound=secret).warning("test.bound")
    logging.getLogger("library").warning("saw %s", secret)
    for raised in (ValueError(secret), KeyError(secret)):
        try:
            raise raised
        except (ValueError, KeyError):
            log.logger.exception("test.failed")
    text = json.dumps(lines(out)) + json.dumps(log.ring.after())
    assert "PLANTED" not in text
    assert "UExBTlRFRDpzZWNyZXQ" not in text
    assert log.MASK in text


@pytest.mark.parametrize("name", NAMES)
def test_values_under_telling_names_never_leave(out: io.BytesIO, name: str) -> None:
    log.logger.info("test.named", **{name: "PLANTED"}, headers={name: ["PLANTED"], "accept": "json"})
    log.exchange(**{name: "PLANTED"})
    assert "PLANTED" not in out.getvalue().decode()
    assert lines(out)[0]["headers"]["accept"] == "json"


@pytest.mark.parametrize(
    "facts",
    [
        {"tokens_in": 12, "token": 3, "max_tokens": 9, "key_id": "k1"},
        {"model": "claude-sonnet-4-5", "account": "claude/me@example.com", "url": "https://api.example/v1"},
        {"path": "task-based", "note": "risk-free high code"},
    ],
)
def test_harmless_facts_stay(out: io.BytesIO, facts: dict[str, Any]) -> None:
    log.logger.info("test.harmless", **facts)
    (record,) = lines(out)
    assert {name: record[name] for name in facts} == facts


@given(st.text(), st.dictionaries(st.text(), st.text() | st.integers() | st.binary(), max_size=4))
def test_any_text_makes_one_whole_line(text: str, facts: dict[str, Any]) -> None:
    stream = io.BytesIO()
    log.configure(stream=stream)
    log.exchange(text=text, facts=facts)
    assert len(lines(stream)) == 1
    log.configure(stream=io.BytesIO())


@pytest.mark.parametrize("odd", ["\ud83d", Path("/x"), {1, 2}, object, float("nan"), 2**70, {"a": "\udc00"}])
def test_odd_values_are_written_somehow(out: io.BytesIO, odd: object) -> None:
    log.logger.info("test.odd", value=odd)
    assert lines(out)[0]["event"] == "test.odd"


def test_a_record_has_time_level_event_then_facts(out: io.BytesIO) -> None:
    log.logger.bind(request="r1").info("account.rested", seconds=30)
    (record,) = lines(out)
    assert list(record) == ["timestamp", "level", "event", "request", "seconds"]
    assert record["level"] == "info"


def test_context_and_foreign_loggers_end_in_the_same_place(out: io.BytesIO) -> None:
    with structlog.contextvars.bound_contextvars(request="r2"):
        structlog.get_logger().info("test.context")
    logging.getLogger("aiohttp.server").error("broken")
    first, second = lines(out)
    assert first["request"] == "r2"
    assert (second["event"], second["logger"], second["message"]) == ("library.log", "aiohttp.server", "broken")


def test_debug_records_appear_only_while_debug_is_on(out: io.BytesIO) -> None:
    log.set_debug(False)
    log.logger.debug("test.hidden")
    log.set_debug(True)
    log.logger.debug("test.shown")
    assert [record["event"] for record in lines(out)] == ["test.shown"]


def test_the_ring_keeps_the_newest_and_counts_on() -> None:
    ring = log.Ring(size=3)
    for number in range(1, 6):
        ring.add(b'{"level":"%b","event":"e%d"}\n' % (b"info" if number % 2 else b"error", number))
    assert [record["seq"] for record in ring.after()] == [3, 4, 5]
    assert [record["seq"] for record in ring.after(4)] == [5]
    assert [record["seq"] for record in ring.after(level="error")] == [4]
    assert [record["seq"] for record in ring.after(limit=2)] == [4, 5]
    ring.clear()
    ring.add(b'{"level":"info","event":"again"}\n{"level":"info","event":"and again"}\n', 2)
    assert [record["seq"] for record in ring.after()] == [6, 7]
    assert [json.loads(line)["event"] for line in ring.newest(6, 9)] == ["and again"]
    assert ring.last == 7


class Counting(io.BytesIO):
    writes = 0

    def write(self, content: Any, /) -> int:
        self.writes += 1
        return super().write(content)


async def test_in_a_loop_lines_are_written_together_and_warnings_at_once() -> None:
    stream = Counting()
    log.configure(stream=stream)
    for number in range(50):
        log.exchange(number=number)
    assert stream.writes == 0
    log.logger.warning("test.now")
    assert stream.writes == 1
    assert len(stream.getvalue().splitlines()) == 51
    log.exchange(number=51)
    async with asyncio.timeout(5):
        while stream.writes == 1:
            await asyncio.sleep(log.FLUSH_S / 4)
    assert len(stream.getvalue().splitlines()) == 52


def test_lines_left_by_a_loop_that_ended_are_not_lost() -> None:
    stream = Counting()
    log.configure(stream=stream)

    async def one() -> None:
        log.exchange(number=1)

    asyncio.run(one())
    asyncio.run(one())
    log.flush()
    assert len(stream.getvalue().splitlines()) == 2


def test_a_stream_that_fails_does_not_stop_the_caller() -> None:
    stream = io.BytesIO()
    log.configure(stream=stream)
    stream.close()
    log.exchange(number=1)
    log.flush()


def test_a_full_file_moves_aside_and_three_old_ones_are_kept(tmp_path: Path) -> None:
    target = log.RotatingFile(tmp_path / "logs" / "mux.log", limit=10)
    for number in range(7):
        target.write(f"line {number}\n".encode())
    target.close()
    kept = {path.name: path.read_text() for path in (tmp_path / "logs").iterdir()}
    assert kept == {
        "mux.log": "line 6\n",
        "mux.log.1": "line 5\n",
        "mux.log.2": "line 4\n",
        "mux.log.3": "line 3\n",
    }
    if sys.platform != "win32":
        assert stat.S_IMODE((tmp_path / "logs" / "mux.log").stat().st_mode) == 0o600


def test_a_file_gets_the_same_lines(tmp_path: Path, out: io.BytesIO) -> None:
    log.configure(stream=out, file=tmp_path / "mux.log")
    log.logger.info("test.both")
    log.flush()
    assert (tmp_path / "mux.log").read_bytes() == out.getvalue()


def test_a_terminal_gets_a_readable_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("NO_COLOR", "1")
    log.configure()
    log.logger.info("account.rested", account="work", api_key="PLANTED")
    log.flush()
    log.configure(stream=io.BytesIO())
    assert "account.rested" in terminal.getvalue()
    assert "PLANTED" not in terminal.getvalue()
