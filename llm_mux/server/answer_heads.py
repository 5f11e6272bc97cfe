"""The heads of answers as bytes: any of them, and by a form those of exchanges that went well.

Rule: a name that a client or provider made up never becomes a header of its own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from aiohttp.web_response import REASON_PHRASES

from llm_mux.gateway.ahead import Ahead
from llm_mux.server.serving import STREAM_HEADERS, labelled

_BREAKS = str.maketrans({code: " " for code in (*range(32), 127)})
_MOST_FORMS = 1024
_MARK: Final = os.urandom(9).hex()
"""Where a form has a gap. No name can hold it."""


def written(status: int, headers: Mapping[str, str]) -> bytes:
    """A head with its empty line."""
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    text = "".join(lines)
    if text.count("\n") != len(lines) or text.count("\r") != len(lines):
        text = "".join([f"{name}: {value.translate(_BREAKS)}\r\n" for name, value in headers.items()])
    return f"HTTP/1.1 {status} {REASON_PHRASES.get(status, '')}\r\n{text}\r\n".encode()


class Forms:
    """The heads of good answers: what those of one account's model have in common is written once."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], bytes] = {}

    def head(self, exchange: Ahead, length: int, date: bytes) -> bytes:
        out = exchange.out
        account, usage = out.account, out.usage
        assert account is not None
        provider = account.provider
        key = (provider.name, account.label, out.model, provider.served_header, out.dropped, usage is None)
        form = self._known.get(key)
        if form is None:
            marks = (f"{_MARK}b", None if usage is None else f"{_MARK}d", f"{_MARK}d")
            headers = labelled(out.headers(*marks), "application/json")
            form = self._made(key, headers | {"Content-Length": f"{_MARK}d"})
        name = exchange.ask.request_id.encode()
        if usage is None:
            return form % (name, length, date)
        return form % (name, usage.prompt, usage.output, length, date)

    def streamed(self, exchange: Ahead, date: bytes) -> bytes:
        """The head of a stream."""
        out, media = exchange.out, exchange.media
        account = out.account
        assert account is not None
        key = (account.provider.name, account.label, out.model, account.provider.served_header, out.dropped, media)
        form = self._known.get(key) or self._made(
            key, labelled(out.headers(f"{_MARK}b") | STREAM_HEADERS, media) | {"Transfer-Encoding": "chunked"}
        )
        return form % (exchange.ask.request_id.encode(), date)

    def _made(self, key: tuple[object, ...], headers: dict[str, str]) -> bytes:
        text = written(200, headers | {"Date": f"{_MARK}b"})
        if len(self._known) >= _MOST_FORMS:
            self._known.clear()
        form = self._known[key] = text.replace(b"%", b"%%").replace(_MARK.encode(), b"%")
        return form
