"""What a client asks of the gateway, and what the gateway hands back to the server. No HTTP library in sight."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

from msgspec import MsgspecError, Struct

from llm_mux import ir
from llm_mux.auth.scopes import Scopes
from llm_mux.errors import MuxError
from llm_mux.gateway.conversation import conversation
from llm_mux.translators.base import Hints, Outline, Translator
from llm_mux.translators.ids import digest
from llm_mux.wire import hints, jsonx

if TYPE_CHECKING:
    from llm_mux.gateway.observed import Watch
    from llm_mux.gateway.pouring import Pouring
    from llm_mux.ledger.balances import Settlement
    from llm_mux.ledger.rows import Exchange

T = TypeVar("T")
Write = Callable[[bytes], Awaitable[None]]


class Outlet(ABC):
    """A `Write` that can also be written to without waiting."""

    __slots__ = ("caught_up",)

    def __init__(self) -> None:
        self.caught_up: Callable[[], None] | None = None
        """Called when a client that was behind no longer is."""

    @abstractmethod
    async def __call__(self, data: bytes, /) -> None: ...

    @abstractmethod
    def put(self, data: bytes, /) -> bool:
        """Writes at once. False: the client is behind. Raises ConnectionError when it left."""

    @abstractmethod
    def last(self, data: bytes, /) -> None:
        """Writes the last piece and the stream's end in one. Raises as `put`."""


Begin = Callable[[dict[str, str], str], Awaitable[Write]]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the client key's public name, the tenant whose seals and responses it shares, a key to pass through.

    `key_id` is the key's own in the database, `user` who it belongs to; `scopes` None: everything is allowed.
    """

    name: str | None = None
    tenant: str = "local"
    key: str = field(default="", repr=False)
    key_id: str | None = None
    user: str | None = None
    scopes: Scopes | None = None

    @property
    def user_id(self) -> str:
        """Whose balance it is: the user's, else the key's own, else that of whoever is at this machine."""
        key = self.key_id or self.name
        return self.user or ("local" if key is None else f"key:{key}")

    @property
    def subject(self) -> str:
        """Whose limits it falls under."""
        return f"user:{self.user}" if self.user else self.user_id


class Entry(Protocol):
    """What a request took when it was admitted, to be settled by what it did use."""

    def settle(self, row: Exchange) -> Settlement | None:
        """What is paid for the row."""

    def stay(self) -> Callable[[], None]:
        """The request goes on after its answer; what this gives ends it."""


class Ask(Struct):
    """One client request as it arrived. `headers` have lower-case names. `model` and `stream` were peeked,
    `outline` is what else that look found.

    `started` is monotonic seconds, `time` unix seconds. `begin` starts the client's stream (headers, media type) before
    there is an answer, where the server can. `entry` is there when something is limited, `watch` when somebody looks
    on.
    """

    protocol: Translator
    body: bytes
    hints: Hints
    model: str
    stream: bool
    request_id: str
    headers: Mapping[str, str]
    caller: Caller
    time: float
    started: float
    begin: Begin | None = None
    outline: Outline | None = None
    entry: Entry | None = None
    watch: Watch | None = None
    _request: ir.Request | None = None

    def decoded(self) -> ir.Request:
        """The canonical form of the body, read once. Raises MuxError for what cannot be read."""
        if self._request is None:
            self._request = self.read(self.protocol.decode_request)
        return self._request

    def read(self, decode: Callable[[bytes, Hints], T]) -> T:
        """What `decode` makes of the body, once more where it has to be mended."""
        try:
            return decode(self.body, self.hints)
        except (MuxError, MsgspecError, ValueError):
            if not self.mend():
                raise
            return decode(self.body, self.hints)

    def mend(self) -> bool:
        """Puts right what is no UTF-8; whether there was any. The look at a body skips its texts, and a decoder keeps
        raw what it does not look into, so whoever needs such a text is the first to find out."""
        mended = jsonx.repair(self.body)
        if mended == self.body:
            return False
        self.body, self.outline, self._request = mended, None, None
        return True

    @property
    def seed(self) -> str:
        """What no other request has: clients may give all of theirs one X-Request-ID."""
        return f"{self.request_id}\x00{self.time}"

    def made_id(self) -> str:
        """An id for an answer that has none."""
        return digest(self.seed)

    def forget(self, *, body: bool) -> None:
        """Keeps no longer what was read of the request, and no longer its `body`."""
        self._request = self.outline = None
        if body:
            self.body = b""

    @property
    def conversation(self) -> str:
        """What names the conversation for the sticky choice."""
        return conversation(self.caller.tenant, self.headers, self.body)


class Whole(Struct):
    """A whole answer for the client."""

    status: int
    body: bytes
    headers: dict[str, str]
    content_type: str = "application/json"


class Streaming(Struct):
    """A stream for the client: `pump` writes it to the end and settles the exchange, also when it is cancelled. Where
    there is a `stream`, that may be begun in its place, which needs no task."""

    headers: dict[str, str]
    content_type: str
    pump: Callable[[Write], Awaitable[None]]
    stream: Pouring | None = None


Answer = Whole | Streaming


def error_answer(error: MuxError, protocol: Translator, request_id: str, headers: dict[str, str]) -> Whole:
    """A failure in the client's own shape, with Retry-After where there is a hint."""
    if error.retry_after is not None:
        headers = {**headers, "Retry-After": hints.to_seconds_header(max(1.0, error.retry_after))}
    if protocol.error_headers is not None:
        headers = {**headers, **protocol.error_headers(error)}
    return Whole(protocol.error_status(error), protocol.encode_error(error, request_id), headers)
