"""Talking to the running daemon: which one runs, and its HTTP interface.

Rule: only the standard library's http.client, so that commands start fast. No proxy is ever used: the daemon is local.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct, field

from llm_mux import paths
from llm_mux.cli.invocation import Failure

START_SLACK_S = 5.0
_PATIENCE_S = 5.0
NOT_RUNNING = "no daemon is running; start one with: llm-mux serve"


class Answer(Struct, frozen=True):
    status: int
    body: bytes

    def json(self) -> Any:
        """The body; `Failure` when it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Failure(f"the daemon answered {self.status} with something that is not JSON") from error


class Client(Struct, frozen=True):
    """A daemon at `url`; `headers` go with every request."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def get(self, path: str, *, timeout_s: float = 10) -> Answer:
        return self._send("GET", path, None, timeout_s)

    def post(
        self, path: str, body: object, *, headers: Mapping[str, str] | None = None, timeout_s: float = 60
    ) -> Answer:
        return self._send("POST", path, json.dumps(body).encode(), timeout_s, headers or {})

    def delete(self, path: str, *, timeout_s: float = 10) -> Answer:
        return self._send("DELETE", path, None, timeout_s)

    def _send(
        self, method: str, path: str, body: bytes | None, timeout_s: float, headers: Mapping[str, str] | None = None
    ) -> Answer:
        url = urlsplit(self.url)
        connection = http.client.HTTPConnection(url.hostname or "127.0.0.1", url.port, timeout=timeout_s)
        sent = {**self.headers, **(headers or {})}
        if body is not None:
            sent["content-type"] = "application/json"
        try:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            return Answer(response.status, response.read())
        except (OSError, http.client.HTTPException) as error:
            raise Failure(f"the daemon at {self.url} does not answer ({type(error).__name__})") from error
        finally:
            connection.close()


def running() -> paths.DaemonRecord | None:
    """The record of the daemon if its process still runs and is the same one, not another under a reused pid."""
    record = paths.read_daemon()
    if record is None:
        return None
    import psutil

    try:
        started = psutil.Process(record.pid).create_time()
    except psutil.Error:
        return None
    return record if abs(started - record.started) <= START_SLACK_S else None


def require() -> paths.DaemonRecord:
    record = running()
    if record is None:
        raise Failure(NOT_RUNNING)
    return record


def caught_up() -> None:
    """The books have what a running daemon, if there is one that answers, has just finished: it writes behind."""
    record = running()
    if record is not None:
        with suppress(Failure):
            Client(record.url).get("/v1/usage?days=1", timeout_s=_PATIENCE_S)


def error_text(answer: Answer) -> str:
    """The message inside an error answer of any protocol."""
    try:
        found = json.loads(answer.body)
    except ValueError:
        return f"HTTP {answer.status}"
    error = found.get("error") if isinstance(found, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return str(message) if message else f"HTTP {answer.status}"
