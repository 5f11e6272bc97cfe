"""What was said in one exchange: by the client, to each provider that was asked, by it, and to the client.

Rule: of each side the beginning is kept, in memory, and shown to nobody without having been gone through for secrets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from llm_mux import log
from llm_mux.errors import MuxError
from llm_mux.gateway.ask import Ask
from llm_mux.gateway.upstream import Call

MOST_BYTES = 128 << 10
MOST_ASKED = 8

Clean = Callable[[str], str]


class _Kept:
    """The beginning of a body, and how long it was."""

    __slots__ = ("data", "size")

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray()
        self.size = 0
        self.add(data)

    def add(self, data: bytes) -> None:
        self.size += len(data)
        if len(self.data) < MOST_BYTES:
            self.data += data[: MOST_BYTES - len(self.data)]

    def shown(self, clean: Clean) -> str:
        return clean(bytes(self.data).decode("utf-8", "replace"))


class Leg:
    """One provider that was asked, and what came of it. It hears the answer as it arrives."""

    __slots__ = (
        "_account",
        "_answer",
        "_answer_headers",
        "_error",
        "_headers",
        "_method",
        "_request",
        "_status",
        "_url",
    )

    def __init__(self, account: str, call: Call) -> None:
        self._account = account
        self._method, self._url = call.method, call.url
        self._headers = dict(call.headers)
        self._request = _Kept(call.body or b"")
        self._status: int | None = None
        self._answer_headers: dict[str, str] = {}
        self._answer = _Kept()
        self._error: str | None = None

    @property
    def weight(self) -> int:
        return len(self._request.data) + len(self._answer.data)

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        self._status, self._answer_headers = status, dict(headers)

    def piece(self, data: bytes) -> None:
        self._answer.add(data)

    def failed(self, error: MuxError) -> None:
        self._error = error.message

    def shown(self, clean: Clean) -> dict[str, Any]:
        return {
            "account": self._account,
            "method": self._method,
            "url": clean(self._url),
            "headers": _headers(self._headers, clean),
            "request": self._request.shown(clean),
            "request_bytes": self._request.size,
            "status": self._status,
            "answer_headers": _headers(self._answer_headers, clean),
            "answer": self._answer.shown(clean),
            "answer_bytes": self._answer.size,
            "error": None if self._error is None else clean(self._error),
        }


class Captured:
    """One exchange. `skipped` are the further providers that were asked."""

    __slots__ = ("_answer", "_answer_headers", "_headers", "_legs", "_request", "_skipped", "_status")

    def __init__(self, ask: Ask) -> None:
        self._headers = dict(ask.headers)
        self._request = _Kept(ask.body)
        self._status: int | None = None
        self._answer_headers: dict[str, str] = {}
        self._answer = _Kept()
        self._legs: list[Leg] = []
        self._skipped = 0

    @property
    def weight(self) -> int:
        """Bytes that it holds."""
        return len(self._request.data) + len(self._answer.data) + sum(leg.weight for leg in self._legs)

    def asked(self, account: str, call: Call) -> Leg | None:
        if len(self._legs) >= MOST_ASKED:
            self._skipped += 1
            return None
        leg = Leg(account, call)
        self._legs.append(leg)
        return leg

    def answers(self, status: int, headers: Mapping[str, str]) -> None:
        self._status, self._answer_headers = status, dict(headers)

    def got(self, data: bytes) -> None:
        self._answer.add(data)

    def shown(self, clean: Clean) -> dict[str, Any]:
        """For a person. `clean` takes out of a text what is secret."""
        return {
            "headers": _headers(self._headers, clean),
            "request": self._request.shown(clean),
            "request_bytes": self._request.size,
            "status": self._status,
            "answer_headers": _headers(self._answer_headers, clean),
            "answer": self._answer.shown(clean),
            "answer_bytes": self._answer.size,
            "upstream": [leg.shown(clean) for leg in self._legs],
            "skipped": self._skipped,
        }


def _headers(headers: Mapping[str, str], clean: Clean) -> dict[str, Any]:
    return {name: clean(str(value)) for name, value in log.redact(headers).items()}
