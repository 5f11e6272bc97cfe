"""A response that runs in the background, as its clients are told of it: the object in its states, and its events.

Rules. It has one id from the first moment on, whatever the provider calls it. Its events count on without a gap from
`response.created` and `response.queued`; what was told once is not told again. The last event is `response.completed`,
`response.incomplete` (also of one that was cancelled: the object says so) or `response.failed`.
Spec: the Responses API page, sections 1, 6 and 7.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw, Struct

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.translators.openai_responses import errors
from llm_mux.translators.openai_responses.answer import Object
from llm_mux.wire import jsonx, sse

RUNNING: Final = frozenset({"queued", "in_progress"})
_ENDS: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})
_MARK: Final = b'"background"'
_GONE: Final = "llm-mux was stopped while this response ran in the background; send the request again."


class _State(Struct):
    status: str = ""
    background: bool | None = None


class _Said(Struct):
    message: str = ""
    code: str | None = None


class _Failure(Struct):
    error: _Said | None = None
    message: str = ""
    code: str | None = None


class Retelling:
    """One response. `body` is its object as it is now, `status` what that says; `over` after the last event."""

    def __init__(self, request: ir.Request, id_: str, model: str, created: int) -> None:
        first = Object(request, id_, model, created).at("queued", background=True)
        self._object: dict[str, Raw] = jsonx.top(jsonx.encode(first))
        self._id = Raw(msgspec.json.encode(id_))
        self._output: list[Raw] = []
        self._next = 0
        self._begun = False
        self.id = id_
        self.status = "queued"
        self.over = False

    @property
    def body(self) -> bytes:
        return msgspec.json.encode(self._object)

    def begin(self) -> list[bytes]:
        """The events of a response that waits."""
        return [self._lifecycle("response.created"), self._lifecycle("response.queued")]

    def take(self, frame: sse.Frame) -> bytes | None:
        """A record of the stream that answers the request, as one of this response; None: it says nothing new."""
        try:
            top = jsonx.top(frame.data)
            type_ = msgspec.json.decode(top.get("type", b'""'), type=str)
        except (jsonx.Malformed, msgspec.MsgspecError):
            return None
        if self.over or not type_:
            return None
        if type_ == "error":
            return self.fail(_meant(frame.data))
        if "response" in top and not self._lives(type_, bytes(top["response"])):
            return None
        if type_ == "response.output_item.done" and "item" in top:
            self._output.append(top["item"])
            self._object["output"] = Raw(msgspec.json.encode(self._output))
        top["sequence_number"] = Raw(b"%d" % self._next)
        if "response" in top:
            top["response"] = Raw(self.body)
        return self._record(type_, msgspec.json.encode(top))

    def _lives(self, type_: str, response: bytes) -> bool:
        """Takes over what the response says of itself; whether that is news."""
        found = jsonx.top(response)
        running = type_ not in _ENDS
        status = self._status(found, type_)
        known = {"id": self._id, "background": Raw(b"true"), "created_at": self._object["created_at"]}
        if running:
            known |= {"status": Raw(b'"in_progress"'), "output": Raw(msgspec.json.encode(self._output))}
        self._object = found | known
        self.status, self.over = status, not running
        news = not self._begun and type_ != "response.created"
        self._begun = self._begun or news
        return news or not running

    @staticmethod
    def _status(found: dict[str, Raw], type_: str) -> str:
        return "in_progress" if type_ not in _ENDS else jsonx.decode(bytes(found.get("status", b'""')), str)

    def fail(self, error: MuxError) -> bytes:
        """The event of a response that could not be finished."""
        return self._end("response.failed", "failed", error=Raw(jsonx.encode(errors.failed(error))))

    def cancel(self) -> bytes:
        return self._end("response.incomplete", "cancelled")

    def _end(self, type_: str, status: str, **changes: Raw) -> bytes:
        self._object |= {"status": Raw(msgspec.json.encode(status)), **changes}
        self.status, self.over = status, True
        return self._lifecycle(type_)

    def _lifecycle(self, type_: str) -> bytes:
        event = {"type": type_, "sequence_number": self._next, "response": self._object}
        return self._record(type_, msgspec.json.encode(event))

    def _record(self, type_: str, data: bytes) -> bytes:
        self._next += 1
        if b"\n" in data or b"\r" in data:
            data = jsonx.compact(data)
        return b"event: %b\ndata: %b\n\n" % (type_.encode(), data)


def _meant(data: bytes) -> MuxError:
    """The failure that an `error` record or an error's body tells of."""
    try:
        found = jsonx.decode(data, _Failure)
    except jsonx.Malformed:
        found = _Failure()
    said = found.error or _Said(found.message, found.code)
    kinds = {"rate_limit_exceeded": Kind.RATE_LIMIT, "context_length_exceeded": Kind.CONTEXT_LENGTH}
    kinds |= {"insufficient_quota": Kind.QUOTA, "invalid_prompt": Kind.BAD_REQUEST}
    kind = kinds.get(said.code or "", Kind.UPSTREAM_ERROR)
    return MuxError(kind, said.message or "The provider broke off without saying why.", code=said.code)


def meant(status: int, body: bytes) -> MuxError:
    """The failure that an error's answer tells of."""
    error = _meant(body)
    if status == 400 and error.kind is Kind.UPSTREAM_ERROR:
        error.kind = Kind.BAD_REQUEST
    return error


def _state(body: bytes) -> _State:
    if _MARK not in body:
        return _State()
    try:
        return jsonx.decode(body, _State)
    except jsonx.Malformed:
        return _State()


def in_background(body: bytes) -> bool:
    """Whether the response ran, or runs, in the background."""
    return bool(_state(body).background)


def running(body: bytes) -> bool:
    """Whether the response says that it is not finished."""
    state = _state(body)
    return bool(state.background) and state.status in RUNNING


def interrupted(body: bytes) -> bytes:
    """A response that says it runs, of which nobody knows any more."""
    error = errors.failed(MuxError(Kind.DRAINING, _GONE))
    return jsonx.splice(body, {"status": b'"failed"', "error": jsonx.encode(error)})
