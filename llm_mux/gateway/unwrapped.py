"""An answer whose provider puts the format's own bytes into an envelope: the same reply with the envelope taken off.

Everything above sees the format itself, so that splice and translate work on it as on any other. Errors come bare.
"""

from __future__ import annotations

from llm_mux.gateway.upstream import Reply
from llm_mux.providers.base import Endpoint, Unwrap


def opened(reply: Reply, endpoint: Endpoint) -> Reply:
    """`reply` as the endpoint's format has it."""
    return reply if endpoint.unwrap is None else _Unwrapped(reply, endpoint.unwrap())


class _Unwrapped(Reply):
    """The face of a reply over another one; `chunk` is for streams, `read` for whole answers."""

    def __init__(self, inner: Reply, unwrap: Unwrap) -> None:
        self._inner = inner
        self._unwrap = unwrap
        self._ended = False
        self.status = inner.status
        self.headers = inner.headers

    @property
    def content_type(self) -> str:
        return self._inner.content_type

    async def chunk(self) -> bytes:
        while not self._ended:
            data = await self._inner.chunk()
            self._ended = not data
            if bare := self._unwrap.feed(data) if data else self._unwrap.finish():
                return bare
        return b""

    async def read(self, limit: int | None = None) -> bytes:
        return self._unwrap.whole(await self._inner.read(limit))

    def close(self) -> None:
        self._inner.close()
