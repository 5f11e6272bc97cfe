"""One exchange: `serve -> attempt [plan -> send -> relay] -> settle`. Which target is asked when: `ladder.py`.

Rules. Another target is tried only while the client has seen nothing of an answer. The first events of a stream are
held back until real content or an error. A client that left costs no account anything. `settle` happens exactly once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple, TypeVar

import msgspec

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.gateway import complete, fold, plan, relay, ways
from llm_mux.gateway.ask import Answer, Ask, Outlet, Streaming, Whole, Write, error_answer
from llm_mux.gateway.beats import Company
from llm_mux.gateway.calls import send
from llm_mux.gateway.core import Gateway
from llm_mux.gateway.enforce import cut_whole
from llm_mux.gateway.ladder import Ladder
from llm_mux.gateway.outcome import Outcome
from llm_mux.gateway.pouring import Pouring, flow
from llm_mux.gateway.refusal import learned, meant, notice_quota, refusal
from llm_mux.gateway.tuning import tuned
from llm_mux.gateway.unwrapped import opened
from llm_mux.gateway.upstream import Call, Reply
from llm_mux.routing.accounts import Account
from llm_mux.routing.select import Candidate
from llm_mux.translators.base import nonsense
from llm_mux.translators.tools import raise_parts

T = TypeVar("T")
_MOST_HELD = 256 << 10
_HELD_S = 30.0


class _Opened(NamedTuple):
    """A stream that has begun well, and what its plan says that is asked for later."""

    stream: Pouring
    account: Account
    model: str
    spliced: bool
    dropped: tuple[str, ...]


class Exchange:
    """One client request, all its attempts, its outcome."""

    __slots__ = ("_gateway", "_recalled", "_renewals", "_request", "ask", "out")

    def __init__(self, gateway: Gateway, ask: Ask) -> None:
        self._gateway = gateway
        self.ask = ask
        self.out = Outcome()
        self._request: ir.Request | None = None
        self._recalled = False
        self._renewals: list[Account] = []

    async def serve(self) -> Answer:
        """The answer for the client; errors come back in its own shape, never as exceptions."""
        try:
            if self.ask.stream:
                return await self._stream()
            answer = await Ladder(self._gateway, self.ask, self.out, partial(self._try, self._attempt_whole)).climb()
        except MuxError as error:
            return self._refuse(error)
        except asyncio.CancelledError:
            self._settle(499, self._gateway.drain.cause())
            raise
        except Exception:
            self._settle(500, MuxError(Kind.INTERNAL, "llm-mux failed on this request."))
            raise
        self._settle(200)
        await self._told_elsewhere()
        return answer

    def _refuse(self, error: MuxError) -> Whole:
        answer = error_answer(error, self.ask.protocol, self.ask.request_id, self._headers())
        self._settle(answer.status, error)
        return answer

    async def _try(self, attempt: Callable[[plan.Plan], Awaitable[T]], candidate: Candidate) -> T:
        """One target, asked again at once when it only refused a parameter that can be left out, or an old token."""
        account = candidate.account
        for again in range(3):
            if account.session is not None:
                await self._gateway.credentials.ready(account)
            key = account.key
            try:
                chosen = self._plan(candidate, self._decoded)
                if self._request is not None and await self._recall(self._request):
                    chosen = self._plan(candidate, self._decoded)
            except MuxError as error:
                chosen = await self._with_bytes(error, candidate)
            self.out.attempts += again > 0
            try:
                return await attempt(chosen)
            except MuxError as error:
                if not (learned(chosen, error) or await self._renewed(account, key, error)):
                    raise
        raise nonsense("the same refusal for every form of this request")

    async def _renewed(self, account: Account, key: str, error: MuxError) -> bool:
        """Whether a token that was refused has been replaced, once in an exchange and account."""
        if account.session is None or error.kind is not Kind.UPSTREAM_AUTH or account in self._renewals:
            return False
        self._renewals.append(account)
        return await self._gateway.credentials.refused(account, key)

    async def _with_bytes(self, error: MuxError, candidate: Candidate) -> plan.Plan:
        """The plan with what it names by URL inside the request, if that is all that `error` is about."""
        if "by_url" not in error.facts:
            raise error
        downloads, tenant = self._gateway.downloads, self.ask.caller.tenant
        return await downloads.again(error, self._decoded(), tenant, lambda r: self._plan(candidate, lambda: r))

    def _plan(self, candidate: Candidate, decode: Callable[[], ir.Request]) -> plan.Plan:
        try:
            chosen = self._choose(candidate, decode)
        except (msgspec.MsgspecError, UnicodeError):
            if not self.ask.mend():
                raise
            self._request = None
            chosen = self._choose(candidate, decode)
        if tunings := self._gateway.settings.tunings:
            chosen = tuned(chosen, tunings)
        self._took(chosen)
        return chosen

    def _choose(self, candidate: Candidate, decode: Callable[[], ir.Request]) -> plan.Plan:
        gateway = self._gateway
        return plan.choose(
            self.ask, candidate, decode, gateway.facts, strict=gateway.settings.strict, adds=gateway.seals.any
        )

    def _took(self, chosen: plan.Plan | _Opened) -> None:
        out = self.out
        out.account, out.model, out.spliced, out.dropped = chosen.account, chosen.model, chosen.spliced, chosen.dropped

    def _decoded(self) -> ir.Request:
        """The canonical form of what the client sent, with what it stripped put back."""
        if self._request is None:
            tenant, now = self.ask.caller.tenant, time.monotonic()
            self._request = self._gateway.seals.restore(tenant, self.ask.decoded(), now)
        return self._request

    async def _recall(self, request: ir.Request) -> bool:
        """Whether another process knew what the client stripped, looked for once; then it is put back."""
        seals, tenant = self._gateway.seals, self.ask.caller.tenant
        if self._recalled or seals.elsewhere is None:
            return False
        self._recalled = True
        if not await seals.recalled(tenant, request, time.monotonic()):
            return False
        self._request = seals.restore(tenant, request, time.monotonic())
        return True

    def _call(self, chosen: plan.Plan) -> Call:
        account = chosen.account
        timeouts = self._gateway.timeouts_for(account)
        return Call(chosen.url, chosen.headers, chosen.body, "POST", account.proxy_url, chosen.place, timeouts)

    async def _send(self, chosen: plan.Plan) -> Reply:
        """The head of a good answer. Raises MuxError for everything else."""
        account, call = chosen.account, self._call(chosen)
        if account.sign is None and self.ask.watch is None:
            reply = await self._gateway.upstream.send(call)
        else:
            reply = await send(self._gateway.upstream, account, call, self.ask.watch)
        return await self._good(chosen, reply)

    def _asked_at(self, chosen: plan.Plan) -> float:
        """When an attempt that begins now began."""
        return time.monotonic()

    async def _good(self, chosen: plan.Plan, reply: Reply) -> Reply:
        """The reply, if it is no refusal."""
        account = chosen.account
        if reply.status < 300:
            if account.provider.quota is not None:
                notice_quota(account, chosen.model, reply)
            return reply if chosen.endpoint.unwrap is None else opened(reply, chosen.endpoint)
        raise await refusal(account, chosen.model, chosen.upstream, reply)

    async def _attempt_whole(self, chosen: plan.Plan) -> Whole:
        reply = await self._send(chosen)
        try:
            if reply.content_type in ("text/event-stream", chosen.upstream.stream_type):
                body = self._whole_answer(chosen, await self._folded(chosen, reply))
            else:
                body = self._whole(chosen, await reply.read())
            return Whole(200, body, self._headers(self.out.usage))
        except MuxError as error:
            raise meant(chosen.account, chosen.model, error, reply) from error
        finally:
            reply.close()

    def _whole(self, chosen: plan.Plan, body: bytes) -> bytes:
        """The client's answer to a whole one of the provider. Raises MuxError where it is none."""
        if chosen.spliced:
            return self._spliced_whole(chosen, body)
        return self._whole_answer(chosen, chosen.read(body))

    async def _folded(self, chosen: plan.Plan, reply: Reply) -> ir.Response:
        """A whole answer from an upstream that only streams."""
        decoder, folded = chosen.upstream.stream_decoder(chosen.target), fold.Fold()
        while data := await reply.chunk():
            folded.feed(decoder.feed(data))
        folded.feed(decoder.finish())
        return folded.response()

    def _spliced_whole(self, chosen: plan.Plan, body: bytes) -> bytes:
        summary = chosen.upstream.summary(body)
        if summary.finish is None and summary.usage is None:
            # Not an answer as far as the books can see: the strict reading says what is wrong with it.
            chosen.read(body)
        self._note(summary.usage, summary.finish)
        self._keep_seals(chosen, body)
        served = summary.model
        if served is not None and served != self.ask.model:
            names = (msgspec.json.encode(served), msgspec.json.encode(self.ask.model))
            body = relay.respelled(body, names)
        return body

    def _keep_seals(self, chosen: plan.Plan, body: bytes) -> None:
        if self.ask.protocol.name in ways.STRIPPING and b'"tool_calls"' in body:
            response = chosen.read(body)
            self._keep(response)

    def _keep(self, response: ir.Response) -> None:
        for choice in response.choices:
            self._gateway.seals.keep(self.ask.caller.tenant, choice.parts, time.monotonic())

    def _settings(self, chosen: plan.Plan) -> ir.Request:
        """The canonical form, which lacks the messages of a plain conversation where they were not needed."""
        return chosen.request or self._decoded()

    def _whole_answer(self, chosen: plan.Plan, response: ir.Response) -> bytes:
        request = self._settings(chosen)
        calls = complete.calls(response)
        if calls:
            choices = [
                msgspec.structs.replace(choice, parts=raise_parts(choice.parts, chosen.names))
                for choice in response.choices
            ]
            response = msgspec.structs.replace(response, choices=tuple(choices))
        response = cut_whole(response, chosen.stops, chosen.max_tokens)
        if calls or response.usage is None:
            taken = complete.taken_ids(request)
            response = complete.completed(response, taken, self.ask.seed, self._estimate)
            self._keep(response)
        response = msgspec.structs.replace(
            response,
            id=response.id or self.ask.made_id(),
            model=self.ask.model,
            created=response.created or int(self.ask.time),
        )
        finish = response.choices[0].finish.reason if response.choices else None
        self._note(response.usage, finish)
        return self.ask.protocol.encode_response(response, request)

    def _note(self, usage: ir.Usage | None, finish: str | None) -> None:
        self.out.usage, self.out.finish = usage, finish
        self.out.first_byte = time.monotonic()

    @property
    def media(self) -> str:
        """What a stream is to its client."""
        return self.ask.protocol.stream_type if self.ask.hints.framing != "array" else "application/json"

    async def _stream(self) -> Answer:
        """A stream that began well, or a whole error; a slow start becomes a stream of keep-alives."""
        ask, media = self.ask, self.media
        waited_s = time.monotonic() - ask.started
        company = Company(self._gateway.settings, ask.begin, self._headers, media, self._beat, waited_s)
        try:
            opening = partial(self._try, self._open)
            ladder = Ladder(self._gateway, self.ask, self.out, opening, lambda late: late.stream.reply.close())
            opened = await ladder.climb()
        except MuxError as error:
            if not await company.leave() and not self._told_in_stream(error):
                raise
            return Streaming(self._headers(), media, self._failing(error))
        except BaseException:
            company.cancel()
            raise
        stream = opened.stream
        try:
            await company.leave()
        except BaseException:
            stream.reply.close()
            raise
        self._took(opened)
        if self.ask.watch is not None:
            self.ask.watch.first(opened.account, opened.model)
        return Streaming(self._headers(), media, partial(self._pump, stream), None if stream.way.over else stream)

    def _told_in_stream(self, error: MuxError) -> bool:
        """Whether this client understands the failure as an event of a stream only."""
        tells = self.ask.protocol.told_in_stream
        return tells is not None and tells(error, self._decoded())

    def _beat(self) -> bytes:
        """A keep-alive before anything of the answer is there."""
        there = self._request
        beat = self.ask.protocol.stream_encoder(self._decoded()).keepalive()
        self._request = there
        if there is None:
            self.ask.forget(body=False)
        return beat

    def _failing(self, error: MuxError) -> Callable[[Write], Awaitable[None]]:
        """A stream that has begun with keep-alives only and now ends with the protocol's error."""

        async def pump(write: Write) -> None:
            try:
                await write(self.ask.protocol.stream_encoder(self._decoded()).encode([ir.Failed(error)]))
            finally:
                self._settle(200, error)

        return pump

    async def _open(self, chosen: plan.Plan) -> _Opened:
        """One attempt up to the first real content, or until enough of it was held back for long enough."""
        began = self._asked_at(chosen)
        way = self._way(chosen)
        self._let_go(chosen)
        reply = await self._send(chosen)
        held: list[bytes] = []
        size = 0
        try:
            if reply.content_type == "application/json" and chosen.upstream.stream_type != "application/x-ndjson":
                held.append(await self._unfolded(chosen, reply, way))
            while not (way.record.content or way.over):
                piece = way.feed(await reply.chunk())
                held.append(piece)
                size += len(piece)
                if enough(size, began):
                    way.record.content = True
            if reply.over and not way.over:
                held.append(way.feed(b""))
        except BaseException:
            reply.close()
            raise
        if way.record.error is not None and not way.record.content:
            reply.close()
            raise meant(chosen.account, chosen.model, way.record.error, reply)
        now = self.out.first_byte = time.monotonic()
        chosen.account.timed(chosen.model, now - began, now)
        stream = Pouring(self, reply, way, b"".join(held))
        return _Opened(stream, chosen.account, chosen.model, chosen.spliced, chosen.dropped)

    async def _unfolded(self, chosen: plan.Plan, reply: Reply, way: relay.Way) -> bytes:
        """A whole JSON answer to a request for a stream, as the stream that was wanted."""
        body = await reply.read()
        if chosen.upstream.name == "gemini" and body.lstrip()[:1] == b"[":
            spliced = chosen.spliced and self.ask.hints.framing != "array"
            reader: relay.Way = ways.translating(self.ask, chosen, way.record, self._decoded) if spliced else way
            out = reader.feed(body) + reader.feed(b"")
        else:
            response = chosen.read(body)
            out = ways.translating(self.ask, chosen, way.record, self._decoded).pass_on(fold.unfold(response))
        way.over = True
        return out

    def _way(self, chosen: plan.Plan) -> relay.Way:
        return ways.way(self.ask, chosen, self._gateway.seals, self._decoded)

    def _estimate(self, chars: int) -> ir.Usage:
        return ways.estimated(self._decoded, chars)

    async def _pump(self, stream: Pouring, write: Write) -> None:
        """Writes the stream to its end. Cancelled (client gone) it closes the upstream and blames nobody."""
        gateway = self._gateway
        try:
            if stream.way.over and isinstance(write, Outlet):
                await self._at_once(stream, write)
                return
            held, stream.held = stream.held, b""
            if held:
                await write(held)
            self.seen(stream.way)
            await flow(stream, write, gateway.settings.keepalive_s, gateway.drain)
            self.ended(stream, None)
            await self._told_elsewhere()
        except BaseException as error:
            self.ended(stream, error)
            raise

    def _let_go(self, chosen: plan.Plan) -> None:
        """What was read of the request does not stay as long as an answer takes; who needs it again, to ask another
        target or to estimate, reads it again."""
        self._request = chosen.request = None
        self.ask.forget(body=False)

    async def _at_once(self, stream: Pouring, write: Outlet) -> None:
        """A stream that was whole when it began: the books first, as for a whole answer, then one write."""
        write.put(b"")
        self.ended(stream, None)
        await self._told_elsewhere()
        write.last(stream.held)

    def seen(self, way: relay.Way) -> None:
        """The client has seen something: nothing is tried again, and the request is not needed for that any more."""
        self.ask.begin = self._request = None
        self.ask.forget(body=not way.counts)

    def ended(self, stream: Pouring, error: BaseException | None) -> None:
        """A stream went to the client as far as it came, or as far as the client stayed; nobody is blamed for that."""
        out, record = self.out, stream.way.record
        if isinstance(error, ConnectionError | asyncio.CancelledError):
            self._settle_stream(record, 499, self._gateway.drain.cause())
        elif error is not None:
            self._settle(500, MuxError(Kind.INTERNAL, "llm-mux failed in the middle of the stream."))
        elif not out.settled:
            if record.error is not None and out.account is not None and out.model is not None:
                failed = meant(out.account, out.model, record.error, stream.reply)
                self._gateway.blame(out.account, out.model, failed)
            self._settle_stream(record, 200, record.error)
        # Where the stream told its end, the answer's own end may still be on its way.
        stream.reply.leave() if record.done and record.error is None and error is None else stream.reply.close()

    async def _told_elsewhere(self) -> None:
        if (elsewhere := self._gateway.seals.elsewhere) is not None:
            await elsewhere.settled()

    def _settle_stream(self, record: relay.Record, status: int, error: MuxError | None) -> None:
        if record.watcher is not None and record.done:
            record.watcher.settle(time.monotonic())
        self.out.usage = record.usage
        self.out.finish = record.finish.reason if record.finish is not None else None
        self._settle(status, error)

    def _headers(self, usage: ir.Usage | None = None) -> dict[str, str]:
        return self.out.headers(self.ask.request_id, *(() if usage is None else (usage.prompt, usage.output)))

    def _settle(self, status: int, error: MuxError | None = None) -> None:
        """Writes the exchange into the books, once."""
        if self.out.settled:
            return
        self.out.settled = True
        self.out.release()
        self.out.status, self.out.error = status, error
        self._gateway.settle(self.ask, self.out)


def enough(size: int, began: float) -> bool:
    """Whether no more of a beginning is held back: the client sees what there is, and from there on a failure is told
    and not kept for the ladder."""
    return size > _MOST_HELD or (size > 0 and time.monotonic() - began > _HELD_S)
