"""A model request as either HTTP end hands it over, and the way back. `serving` knows nothing else of HTTP.

There are two ends: aiohttp's application (`aiohttp_end`), which takes everything, and the lane (`lane`), which takes
the usual request in the shortest way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from llm_mux.gateway.ask import Whole, Write
from llm_mux.server.flowing import Flowing


class Arrival(Protocol):
    """One request. `headers` are looked up whatever their case; `query_key` is the `key` of the query. `memo` is for
    what follows from these very headers: the next request with them finds it there."""

    path: str
    headers: Mapping[str, str]
    query_key: str | None
    memo: dict[object, Any]

    async def body(self, most: int) -> bytes:
        """The decoded body. Raises MuxError TOO_LARGE (more than `most` bytes), UNSUPPORTED_MEDIA or BAD_REQUEST."""

    async def whole(self, answer: Whole, headers: dict[str, str]) -> None:
        """Writes a whole answer; its own headers are among `headers`. Quiet when the client left."""

    async def begin(self, headers: dict[str, str]) -> Write:
        """Begins a stream. Raises ConnectionError when the client left, as what it gives does."""

    async def end(self) -> None:
        """Ends the stream that was begun."""

    def carry(self, flowing: Flowing) -> bool:
        """Lets the stream that was begun go on to its end without the request's task; whether it can."""
