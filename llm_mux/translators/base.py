"""What a translator is: one record of pure functions between a wire format's bytes and the canonical form.

Rules. Decoders of client bytes are tolerant and raise `MuxError` (BAD_REQUEST) with the field named; decoders of
upstream bytes turn nonsense into `MuxError` or a `Failed` event, never into a made-up clean end. Encoders drop tuning
knobs that the target lacks and name them in `Encoded.dropped`; content without a form is refused. No I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.translators.moulds import Judge
from llm_mux.translators.plain import Plain, Spelling
from llm_mux.translators.tools import Names
from llm_mux.wire import jsonx, sse

if TYPE_CHECKING:
    from llm_mux.translators.steps import Reader, Telling


class Hints(Struct, frozen=True):
    """What the route and headers say beside the body. Header names are lower case. `model` and `stream` win over it."""

    model: str | None = None
    stream: bool | None = None
    operation: str = "generate"
    framing: str = "sse"
    headers: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Target:
    """What an encoder may know of where a request goes. `quirks` is the translator's own Quirks struct or None.

    `max_output` and `context` are tokens, None when unknown. `capabilities` are words such as "thinking.adaptive",
    "thinking.enabled", "vision", "tools", "structured" as the provider's model list gave them; empty: unknown.
    `memo` is for what a translator works out of all this, once for as long as the target lives.
    """

    model: str
    provider: str = ""
    quirks: object = None
    max_output: int | None = None
    context: int | None = None
    capabilities: frozenset[str] = frozenset()
    memo: dict[object, object] = field(default_factory=dict, repr=False, compare=False)

    @property
    def title(self) -> str:
        return f"{self.provider}/{self.model}" if self.provider else self.model


class Encoded(Struct, frozen=True):
    """A request ready to send. `names` restores the client's tool names.

    What the server cannot hold to, the daemon does: it cuts at `stops`, and at about `max_tokens` if that is given.
    """

    body: bytes
    dropped: tuple[str, ...] = ()
    names: Names = msgspec.field(default_factory=Names)
    stops: tuple[str, ...] = ()
    headers: Mapping[str, str] = {}
    max_tokens: int | None = None


class Repeats(NamedTuple):
    """What an outline's `messages` and `tools` hold, by means of `translators.outlined`. `mark`: a message that holds
    only `memory.MARK`; `marked` knows it again; `kept` is a message without anything that holds on to its body.
    `messages` and `tools` read a list of either by itself, tools each with a `type`; `names` are what those are
    called. `lasting`: how many of the first messages the next turn is sure to repeat as they are. `key` is where the
    messages stand; `share`: so many times its bytes a conversation takes, with what others make of its outlines.
    `called` reads messages too, and what their calls call."""

    mark: bytes
    marked: Callable[[Any], bool]
    kept: Callable[[Any], Any]
    messages: Callable[[bytes | memoryview], list[Any]]
    tools: Callable[[bytes], list[Any]]
    names: Callable[[list[Any]], tuple[object, ...]]
    lasting: Callable[[Sequence[Any]], int] = len
    key: str = "messages"
    share: float = 1.25
    called: Callable[[bytes | memoryview], list[Any]] | None = None


class Outline(Struct, frozen=True):
    """What routing reads of a client's body; a translator's own also holds what its `adapt` looks at.

    `bedrock_model` and `model_provider`: how clients of Bedrock gateways say where a request goes; they end here.
    `repeats` says how messages are remembered of which every request of a conversation repeats those before.
    """

    repeats: ClassVar[Repeats | None] = None

    model: str | None = None
    stream: bool | None = None
    bedrock_model: str | None = None
    model_provider: str | None = None


class Edits(Struct, frozen=True):
    """Top-level changes under which the client's own bytes may go to the target (value None: remove the key).

    `hide_usage`: the client did not ask for the usage chunk that the edit makes the upstream send.
    """

    top: Mapping[str, bytes | None] = {}
    dropped: tuple[str, ...] = ()
    hide_usage: bool = False


class Summary(Struct, frozen=True):
    """What the books need of a whole answer whose bytes go through untouched."""

    usage: ir.Usage | None = None
    finish: str | None = None
    model: str | None = None
    id: str | None = None


class ModelInfo(Struct, frozen=True):
    """One entry of a provider's model list; unknown facts are None."""

    id: str
    display_name: str | None = None
    created: int | None = None
    owned_by: str | None = None
    context: int | None = None
    max_output: int | None = None
    capabilities: tuple[str, ...] = ()
    description: str | None = None


class StreamDecoder(Protocol):
    """Upstream bytes to events. After `finish` the last event ever given is Done or Failed; later bytes are ignored.

    Some have a `row(data)` too, as `FrameDecoder` has.
    """

    def feed(self, data: bytes) -> list[ir.Event]: ...

    def finish(self) -> list[ir.Event]: ...


class StreamEncoder(Protocol):
    """Events to client bytes. Failed becomes the protocol's own mid-stream error, Done its end marks.

    Some have a `row(row)` too, which is `encode(row.deltas)` for less.
    """

    def encode(self, events: Sequence[ir.Event]) -> bytes: ...

    def keepalive(self) -> bytes: ...


class Embedder(Struct, frozen=True):
    """The embeddings side of a format. `at_once(model)`: how many texts one call takes (None: all)."""

    decode_request: Callable[[bytes, Hints], ir.EmbedRequest]
    encode_request: Callable[[ir.EmbedRequest, Target], Encoded]
    decode_response: Callable[[bytes, Target], ir.EmbedResponse]
    encode_response: Callable[[ir.EmbedResponse, ir.EmbedRequest], bytes]
    at_once: Callable[[str], int] | None = None


class Counter(Struct, frozen=True):
    """The token-count side of a format: request to an upstream, its answer, and our answer to a client."""

    encode_request: Callable[[ir.Request, Target], Encoded]
    decode_response: Callable[[bytes], int]
    encode_response: Callable[[int, ir.Request], bytes]


class Adapt(Protocol):
    def __call__(
        self, body: bytes, target: Target, stream: bool, outline: Outline | None = None, /
    ) -> Edits | None: ...


class Translator(Struct, frozen=True):
    """One wire format. `stream_type` is the media type of its streams (client side).

    `adapt(body, target, stream, outline)` says under which top-level edits the client's bytes may go through unchanged
    to a target of the same format, or None when they must be translated; `outline` is what a look at the body by the
    translator's own `outline` type found (a bare `Outline`: it could not be read as one). `summary` reads a whole
    answer for the books and never raises. `dull()` makes the judge of one stream, which says cheaply that whole
    records, all of them, only carry on an open text: a watcher may then skip them; `opens(records)` says as cheaply
    that they are whole and begin a text. `told_in_stream(error, request)`: the client understands a failure before any
    answer only as an event of a stream. `hides(frame)` recognises the
    usage-only record that `Edits.hide_usage` speaks of. `error_headers`: what the format says of an error in headers.
    `end_mark`: what ends a stream after everything else, an error too. `plain(body, outline, hints)` reads a request
    whose conversation is plain, None for any other; `said` is how one is written; `reads_steps` and `tells_steps` are
    the same for an agent's.
    """

    name: str
    stream_type: str
    decode_request: Callable[[bytes, Hints], ir.Request]
    encode_request: Callable[[ir.Request, Target], Encoded]
    decode_response: Callable[[bytes, Target], ir.Response]
    encode_response: Callable[[ir.Response, ir.Request], bytes]
    stream_decoder: Callable[[Target], StreamDecoder]
    stream_encoder: Callable[[ir.Request], StreamEncoder]
    decode_error: Callable[[int, Mapping[str, str], bytes], MuxError]
    encode_error: Callable[[MuxError, str], bytes]
    error_status: Callable[[MuxError], int]
    adapt: Adapt
    summary: Callable[[bytes], Summary]
    decode_models: Callable[[bytes], list[ModelInfo]]
    embedder: Embedder | None = None
    counter: Counter | None = None
    hides: Callable[[sse.Frame], bool] | None = None
    dull: Callable[[], Judge] | None = None
    opens: Callable[[bytes], bool] | None = None
    told_in_stream: Callable[[MuxError, ir.Request], bool] | None = None
    outline: type[Outline] = Outline
    error_headers: Callable[[MuxError], Mapping[str, str]] | None = None
    end_mark: bytes = b""
    plain: Callable[[bytes, Outline | None, Hints], Plain | None] | None = None
    said: Spelling | None = None
    reads_steps: Reader | None = None
    tells_steps: Telling | None = None


_ENDS = frozenset({ir.Done, ir.Failed})


_NULL = Raw(b"null")


class FrameDecoder:
    """The common shell of the SSE decoders: splitting, nonsense, and what happens at and after the end.

    A subclass gives `frame` (events of one record) and `closed` (events when the upstream closed without an end mark).
    """

    __slots__ = ("over", "splitter")

    def __init__(self) -> None:
        self.splitter = sse.Splitter()
        self.over = False

    def frame(self, frame: sse.Frame) -> list[ir.Event]:
        raise NotImplementedError

    def closed(self) -> list[ir.Event]:
        return [ir.Failed(cut_short())]

    def row(self, data: bytes) -> ir.Row | None:
        """What records say, many or one, that are sure to be whole and to do no more than carry on one text; None:
        `feed` has to read them."""
        return None

    def feed(self, data: bytes) -> list[ir.Event]:
        try:
            return self._events(self.splitter.feed(data))
        except sse.TooLong as error:
            self.over = True
            return [ir.Failed(nonsense(f"a stream record that cannot be read ({error})"))]

    def finish(self) -> list[ir.Event]:
        events = self._events(self.splitter.finish())
        if not self.over:
            try:
                events += self.closed()
            except (jsonx.Malformed, MuxError) as error:
                events.append(_failed(error))
            self.over = True
        return events

    def _events(self, frames: list[sse.Frame]) -> list[ir.Event]:
        events: list[ir.Event] = []
        for frame in frames:
            if self.over:
                break
            try:
                events += self.frame(frame)
            except (jsonx.Malformed, MuxError) as error:
                events.append(_failed(error))
            if events and type(events[-1]) in _ENDS:
                self.over = True
        return events


def _failed(error: jsonx.Malformed | MuxError) -> ir.Failed:
    if isinstance(error, MuxError):
        return ir.Failed(error)
    return ir.Failed(nonsense(f"a stream record that cannot be read ({error})"))


def cut_short() -> MuxError:
    """The upstream closed a stream with neither an end mark nor an error."""
    return MuxError(Kind.UPSTREAM_CUT, "The provider's stream ended before the answer was complete.")


def nonsense(what: str) -> MuxError:
    """The upstream sent something that its format does not allow."""
    return MuxError(Kind.UPSTREAM_NONSENSE, f"The provider sent {what}.")


def wordless(status: int, body: bytes) -> str:
    """A message for an error's body that has none: plain text as it is, never a page, which is for a browser."""
    text = body.strip()
    if not text or text[:1] in (b"<", b"{", b"["):
        page = " with a web page" if text.startswith(b"<") else ""
        return f"The provider answered with status {status}{page} and no error message."
    return text[:300].decode("utf-8", "replace")


def present(value: Raw | UnsetType | None) -> bool:
    """Whether an optional raw field was sent and is not null."""
    return value is not None and value is not UNSET and value != _NULL


def usable(native: ir.Native | None, owner: str, model: str) -> bool:
    """Whether opaque data may go to `model` in the format `owner`: same format, and not another model family's."""
    return native is not None and native.owner == owner and native.family in ("", ir.family(model))
