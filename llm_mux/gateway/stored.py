"""Responses that the daemon keeps, so that `previous_response_id` works on every target.

Before: the items of the chain are put in front of the request's own input. After: the finished response is kept, unless
the client said `store: false`. A connection of the websocket mode has a memory of its own in front of the store.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol

import msgspec
from msgspec import Raw, Struct, structs

from llm_mux.errors import Kind, MuxError, bad_request
from llm_mux.gateway.ask import Answer, Ask, Streaming, Whole, Write, error_answer
from llm_mux.gateway.background import Background, Running, Work
from llm_mux.gateway.core import Gateway
from llm_mux.gateway.exchange import Exchange
from llm_mux.translators.base import Outline, present
from llm_mux.translators.ids import digest
from llm_mux.translators.openai_responses import store as store_format
from llm_mux.translators.openai_responses.answer import response_id
from llm_mux.translators.openai_responses.background import Retelling
from llm_mux.translators.openai_responses.outline import Head
from llm_mux.wire import jsonx, sse

_ENDS = frozenset({"response.completed", "response.incomplete"})
_NO = Raw(b"false")


class Wishes(Struct):
    """What a Responses request says about storing and continuing."""

    model: str = ""
    input: Raw = Raw(b"[]")
    store: bool | None = None
    previous_response_id: str | None = None
    conversation: Raw = Raw(b"null")
    background: bool | None = None


class Named(Struct):
    """What is read of a finished response."""

    id: str = ""
    output: Raw = Raw(b"[]")


class _Event(Struct):
    response: Raw


class _Typed(Struct):
    type: str = ""


class Kept(Struct, frozen=True):
    """One response of a chain: the JSON arrays of its request's own input items and of its output items."""

    items: bytes
    output: bytes


class Store(Protocol):
    """Where finished responses are kept."""

    async def chain(self, tenant: str, id: str, now: float) -> Sequence[Kept]:
        """The responses up to `id`, oldest first. Raises MuxError when one is missing."""
        ...

    def put(self, ask: Ask, finished: bytes, items: bytes, wishes: Wishes) -> None: ...

    @property
    def shared(self) -> bool:
        """Whether other processes look into it."""
        ...


class Memory:
    """A websocket connection's own responses (`store: false` ones too), then the shared store's."""

    def __init__(self, behind: Store | None) -> None:
        self._behind = behind
        self._kept: dict[str, tuple[str | None, Kept]] = {}

    async def chain(self, tenant: str, id: str, now: float) -> Sequence[Kept]:
        links: list[Kept] = []
        at: str | None = id
        while at is not None and at in self._kept:
            if len(links) >= len(self._kept):
                raise _endless(id)
            at, kept = self._kept[at]
            links.insert(0, kept)
        if at is None:
            return links
        if self._behind is None:
            raise not_found(at)
        return [*await self._behind.chain(tenant, at, now), *links]

    def put(self, ask: Ask, finished: bytes, items: bytes, wishes: Wishes) -> None:
        found = jsonx.decode(finished, Named)
        self.remember(found.id, Kept(items, bytes(found.output)), wishes.previous_response_id)
        if self._behind is not None and wishes.store is not False:
            self._behind.put(ask, finished, items, wishes)

    def knows(self, id: str) -> bool:
        """Whether the response was made on this connection."""
        return id in self._kept

    @property
    def shared(self) -> bool:
        return False

    def remember(self, id: str, kept: Kept, previous: str | None) -> None:
        self._kept[id] = previous, kept


def wants_no_more(outline: Outline | None, *, keeps: bool) -> bool:
    """Whether a request wants an answer and nothing else: it goes on from no kept response, and its own, where any are
    kept, is to be forgotten."""
    if not isinstance(outline, Head) or (keeps and outline.store != _NO):
        return False
    if present(outline.previous_response_id) or present(outline.conversation):
        return False
    return not present(outline.background) or outline.background == _NO


def not_found(id: str) -> MuxError:
    message = f"Previous response with id '{id}' not found."
    return MuxError(Kind.BAD_REQUEST, message, param="previous_response_id", code="previous_response_not_found")


def _endless(id: str) -> MuxError:
    message = f"The conversation before response '{id}' comes back to itself: its provider gave one id twice."
    return MuxError(Kind.BAD_REQUEST, message, param="previous_response_id")


def server(
    store: Store | None, *, keep_all: bool = False, background: Background | None = None
) -> Callable[[Gateway, Ask], Awaitable[Answer]]:
    """How a Responses request is served with `store` behind it. `keep_all`: also those with `store: false`.
    `background`: where those run that go on without their client."""

    async def serve(gateway: Gateway, ask: Ask) -> Answer:
        given = ask
        try:
            wishes = jsonx.decode(ask.body, Wishes)
            _refuse_unbuilt(wishes, store, background)
            items = own_items(wishes.input)
            ask = await _continued(gateway, ask, wishes, store)
            if wishes.background and background is not None and store is not None:
                continued = wishes.previous_response_id if ask is not given else None
                return await _begun(gateway, ask, Going(wishes, items, store, background, continued))
        except jsonx.Malformed as error:
            return _error(bad_request(f"The request body is not a valid request: {error}"), ask)
        except MuxError as error:
            return _error(error, ask)
        answer = await Exchange(gateway, ask).serve()
        if ask is not given and wishes.previous_response_id is not None:
            answer = _naming(answer, wishes.previous_response_id)
        if store is None or (wishes.store is False and not keep_all):
            return answer
        return _keeping(answer, ask, wishes, items, store)

    return serve


def _error(error: MuxError, ask: Ask) -> Whole:
    return error_answer(error, ask.protocol, ask.request_id, {"X-Request-ID": ask.request_id})


def _refuse_unbuilt(wishes: Wishes, store: Store | None, background: Background | None) -> None:
    if wishes.background and wishes.store is False:
        raise bad_request("A background response has to be stored: leave `store: false` out.", param="background")
    if wishes.background and (store is None or background is None):
        message = "Background responses need stored ones, which `store-responses: false` turned off."
        raise bad_request(message, param="background")
    if bytes(wishes.conversation).strip() != b"null":
        raise bad_request("Conversations live at OpenAI only; use `previous_response_id`.", param="conversation")


def own_items(given: Raw) -> bytes:
    """A request's own input as a JSON array of items; a string is one user message."""
    return msgspec.json.encode(store_format.input_messages(given))


async def _continued(gateway: Gateway, ask: Ask, wishes: Wishes, store: Store | None) -> Ask:
    """`ask` with the items of the chain in front of its own."""
    previous = wishes.previous_response_id
    if previous is None:
        return ask
    try:
        if store is None:
            raise not_found(previous)
        links = await store.chain(ask.caller.tenant, previous, ask.time)
    except MuxError as error:
        if error.code == "previous_response_not_found" and await _provider_keeps(gateway, ask):
            return ask
        raise
    arrays = [part for link in links for part in (link.items, link.output)]
    body = store_format.prepend_items(ask.body, joined(arrays))
    return msgspec.structs.replace(ask, body=body, outline=None, _request=None)


async def _provider_keeps(gateway: Gateway, ask: Ask) -> bool:
    """Whether the request goes to a provider of the same format, which may know an id that we do not."""
    first = (await gateway.candidates(ask))[0]
    endpoint = first.account.provider.endpoint_for(first.route.model, ask.protocol.name, "generate")
    same = endpoint is not None and endpoint.translator == ask.protocol.name
    return same and first.account.provider.keeps_responses


def joined(arrays: Sequence[bytes]) -> bytes:
    """JSON arrays as one, their elements' bytes unchanged."""
    inner = [array.strip()[1:-1].strip() for array in arrays]
    return b"[" + b",".join(part for part in inner if part) + b"]"


class Going(NamedTuple):
    """A request that goes on without its client. `continued`: the response before it, whose items are in it."""

    wishes: Wishes
    items: bytes
    store: Store
    background: Background
    continued: str | None


async def _begun(gateway: Gateway, ask: Ask, going: Going) -> Answer:
    """The response as it waits, or its stream. Raises MuxError for what can be known to fail."""
    going.background.room()
    await gateway.reach(ask.model, ask.caller.scopes)
    id_ = response_id(digest(f"{ask.request_id}\x00{ask.time}\x00{ask.started}"))
    retelling = Retelling(ask.decoded(), id_, ask.model, int(ask.time))
    body = jsonx.splice(ask.body, {"background": None, "stream": b"true"})
    hints = structs.replace(ask.hints, stream=True)
    alone = structs.replace(
        ask, body=body, hints=hints, stream=True, begin=None, watch=None, outline=None, _request=None
    )
    most, keepalive_s = going.background.bounds.most_bytes, gateway.settings.keepalive_s
    running = Running(ask.caller.tenant, retelling, gateway.drain, keepalive_s, most)

    async def serve() -> Answer:
        answer = await Exchange(gateway, alone).serve()
        return answer if going.continued is None else _naming(answer, going.continued)

    def keep(body: bytes) -> None:
        going.store.put(ask, body, going.items, going.wishes)

    leave = ask.entry.stay() if ask.entry is not None else _nothing
    going.background.start(running, Work(serve, keep, leave, beats=going.store.shared))
    headers = {"X-Request-ID": ask.request_id}
    return running.stream(headers) if ask.stream else Whole(200, running.told.body, headers)


def _nothing() -> None:
    """What ends a request that took nothing."""


def _naming(answer: Answer, id_: str) -> Answer:
    """The answer of a chain that was put into the request: its response says the id that the client gave."""
    previous = msgspec.json.encode(id_)
    if isinstance(answer, Whole):
        if answer.status == 200:
            answer.body = store_format.continuing(answer.body, previous)
        return answer
    pump = answer.pump

    async def named(write: Write) -> None:
        splitter = sse.Splitter()

        async def each(data: bytes) -> None:
            await _some(write, [store_format.continuing_record(frame, previous) for frame in splitter.feed(data)])

        await pump(each)
        await _some(write, [frame.raw for frame in splitter.finish()])

    return Streaming(answer.headers, answer.content_type, named)


async def _some(write: Write, pieces: list[bytes]) -> None:
    if any(pieces):
        await write(b"".join(pieces))


def _keeping(answer: Answer, ask: Ask, wishes: Wishes, items: bytes, store: Store) -> Answer:
    if isinstance(answer, Whole):
        if answer.status == 200:
            store.put(ask, answer.body, items, wishes)
        return answer
    pump = answer.pump

    async def watched(write: Write) -> None:
        splitter = sse.Splitter()

        async def noted(data: bytes) -> None:
            for frame in splitter.feed(data):
                if _is_end(frame):
                    _put_event(frame.data, ask, wishes, items, store)
            await write(data)

        await pump(noted)

    return Streaming(answer.headers, answer.content_type, watched)


def _is_end(frame: sse.Frame) -> bool:
    """Whether the record holds the finished response; some servers leave the `event:` lines out."""
    if frame.event is not None:
        return frame.event in _ENDS
    if not any(name.encode() in frame.data for name in _ENDS):
        return False
    try:
        return jsonx.decode(frame.data, _Typed).type in _ENDS
    except jsonx.Malformed:
        return False


def _put_event(data: bytes, ask: Ask, wishes: Wishes, items: bytes, store: Store) -> None:
    try:
        finished = jsonx.decode(data, _Event).response
    except jsonx.Malformed:
        return
    store.put(ask, bytes(finished), items, wishes)


def output_of(finished: bytes) -> bytes:
    """The JSON array of a response's output items."""
    try:
        return bytes(jsonx.decode(finished, Named).output)
    except jsonx.Malformed:
        return b"[]"
