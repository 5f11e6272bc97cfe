"""Whole answers, both ways.

Rules. An answer that is not `done` is cut, and a 200 with an `error` in it is an error. A client gets one choice, its
thinking beside the content, calls with arguments as objects, and only the two reasons that Ollama has for an end.
Sources are links below an answer that calls no tools.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import msgspec
from msgspec import UNSET, Raw, Struct

from llm_mux import ir
from llm_mux.translators import sources
from llm_mux.translators.base import Summary, Target, cut_short, nonsense, present
from llm_mux.translators.ollama import wire
from llm_mux.translators.ollama.errors import broken, decode_failure
from llm_mux.translators.ollama.reading import is_json, medium, seconds
from llm_mux.translators.ollama.stream import Ids, finish, own, usage
from llm_mux.wire import jsonx

Clock = Callable[[], int]
DECLINED = "The model declined to answer."
_HOUR_NS = 3600 * 10**9
_DURATIONS = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")


def decode_response(body: bytes, target: Target) -> ir.Response:
    """A server's whole answer. Raises what an `error` in it says, UPSTREAM_NONSENSE, or UPSTREAM_CUT."""
    try:
        answer = jsonx.decode(body, wire.Answer, strict=False)
        if answer.error is not UNSET and present(answer.error):
            raise decode_failure(body)
        extras = {key: raw for key, raw in jsonx.top(body).items() if key in _DURATIONS}
        parts, ids = _read(answer, target)
    except jsonx.Malformed as error:
        raise nonsense(f"an answer that cannot be read ({error})") from error
    if answer.message is None and answer.response is None and not answer.done:
        raise nonsense("an answer without a message")
    if not answer.done:
        raise cut_short()
    log = answer.logprobs if isinstance(answer.logprobs, Raw) and present(answer.logprobs) else None
    return ir.Response(
        id="",
        model=answer.model or target.model,
        choices=(ir.Choice(tuple(parts), finish(answer.done_reason, calls=ids.any), log),),
        usage=usage(answer),
        created=seconds(answer.created_at),
        owner=wire.NAME,
        extras=extras,
    )


def _read(answer: wire.Answer, target: Target) -> tuple[list[ir.Part], Ids]:
    said = answer.message or wire.Said(answer.response, answer.thinking)
    ids = Ids(answer.created_at or "")
    parts: list[ir.Part] = []
    if said.thinking:
        parts.append(ir.Reasoning(said.thinking, native=own(target.model), raw=True))
    if said.content:
        parts.append(ir.Text(said.content))
    parts += (medium(image) for image in said.images or ())
    parts += (ids.call(call) for call in said.tool_calls or ())
    return parts, ids


class Spoken(Struct, frozen=True):
    """What an answer says, in the pieces that chat and generate put in their own places."""

    text: str
    thinking: str
    images: list[str]
    calls: list[wire.CallOut]


def spoken(parts: Sequence[ir.Part], end: ir.Finish, *, linked: bool) -> Spoken:
    calls = [part for part in parts if isinstance(part, ir.ToolCall) and keeps(part, end)]
    images = [part.source.data for part in parts if isinstance(part, ir.Image) and isinstance(part.source, ir.Inline)]
    text = "".join(_words(parts))
    if linked and not calls:
        cited = [citation for part in parts if isinstance(part, ir.Text) for citation in part.citations]
        text += sources.links(cited, text)
    return Spoken(
        text=text or (instead(end) if not (calls or images) else ""),
        thinking="".join(part.text for part in parts if isinstance(part, ir.Reasoning)),
        images=images,
        calls=[call_out(call, position) for position, call in enumerate(calls)],
    )


def _words(parts: Sequence[ir.Part]) -> Iterator[str]:
    for part in parts:
        match part:
            case ir.Text(text=text) | ir.Refusal(text=text) | ir.Opaque(text=text, hint=False):
                yield text
            case ir.Image(source=ir.Url(url=url)):
                yield f"![image]({url})"
            case _:
                pass


def instead(end: ir.Finish) -> str:
    """What is shown when a model said nothing because it would not, or was not let."""
    if end.reason == "refusal":
        return end.detail or DECLINED
    return end.detail or "" if end.reason == "filtered" else ""


def keeps(call: ir.ToolCall, end: ir.Finish) -> bool:
    """Whether a call is shown: one that the limit cut off is not."""
    return end.reason not in ("length", "context") or is_whole(call)


def is_whole(call: ir.ToolCall) -> bool:
    """Whether the arguments are JSON (or free text), and so were not cut off as far as can be seen."""
    return call.custom or is_json(call.arguments.strip() or "{}")


def call_out(call: ir.ToolCall, position: int) -> wire.CallOut:
    text = msgspec.json.encode({"input": call.arguments}).decode() if call.custom else call.arguments
    function = wire.FunctionOut(call.name, _one_line(jsonx.object_arguments(text)), position)
    return wire.CallOut(function, call.id or UNSET)


def _one_line(raw: Raw) -> Raw:
    """JSON without the line breaks between its tokens, which would end a line of the stream too early."""
    return Raw(jsonx.compact(raw)) if b"\n" in bytes(raw) or b"\r" in bytes(raw) else raw


def done_reason(end: ir.Finish) -> str:
    return "length" if end.reason in ("length", "context") else "stop"


def created_at(created: int) -> str:
    """RFC 3339 with nanoseconds, for any `created` (unix seconds)."""
    moment = time.gmtime(min(max(created, 0), 253402300799))
    return time.strftime("%Y-%m-%dT%H:%M:%S", moment) + ".000000000Z"


def counts(used: ir.Usage | None) -> dict[str, object]:
    found = used or ir.Usage()
    return {"prompt_eval_count": found.prompt, "eval_count": found.output}


class Whole:
    """Whole answers for clients. `clock` gives unix nanoseconds, for the durations."""

    def __init__(self, clock: Clock = time.time_ns) -> None:
        self._clock = clock

    def encode(self, response: ir.Response, request: ir.Request) -> bytes:
        choice = response.choices[0] if response.choices else ir.Choice((), ir.Finish("stop"))
        end = choice.finish
        if end.reason == "broken":
            raise broken(end.detail)
        body: dict[str, object] = {"model": response.model, "created_at": created_at(response.created)}
        body |= placed(
            spoken(choice.parts, end, linked=sources.linked(request)), generates=wire.OPERATION in request.extras
        )
        body |= {"done": True, "done_reason": done_reason(end)}
        body |= self._durations(response)
        body |= counts(response.usage)
        if (tokens := token_list(choice.logprobs)) is not None:
            body["logprobs"] = tokens
        return jsonx.encode(body)

    def _durations(self, response: ir.Response) -> dict[str, object]:
        """The server's own where it measured, else what passed since the answer was begun, to the second."""
        if response.owner == wire.NAME and "total_duration" in response.extras:
            return {name: response.extras.get(name, 0) for name in _DURATIONS}
        passed = self._clock() - response.created * 10**9
        return durations(passed if 0 < passed < _HOUR_NS else 1, 0)


def durations(total: int, before: int) -> dict[str, object]:
    """The four durations in nanoseconds; `before` passed until the first word. What clients divide by is not 0."""
    parts = (max(1, total), 0, max(1, before), max(1, total - before))
    return dict(zip(_DURATIONS, parts, strict=True))


def placed(said: Spoken, *, generates: bool) -> dict[str, object]:
    """The answer's words where the client's endpoint has them."""
    if not generates:
        return {
            "message": wire.MessageOut(
                "assistant", said.text, said.thinking or None, said.images or None, said.calls or None
            )
        }
    image = {"image": said.images[0]} if said.images else {}
    return {"response": said.text, **({"thinking": said.thinking} if said.thinking else {}), **image}


def token_list(logprobs: Raw | None) -> Raw | None:
    """The tokens of an answer's log probabilities, which OpenAI's format keeps one level deeper."""
    if logprobs is not None and bytes(logprobs).startswith(b"{"):
        logprobs = jsonx.top(bytes(logprobs)).get("content")
    return _one_line(logprobs) if logprobs is not None and present(logprobs) else None


encode_response = Whole().encode


class _Peek(Struct):
    model: str | None = None
    done: bool | None = None
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    message: wire.Said | None = None


def summary(body: bytes) -> Summary:
    """What the books need of a whole answer; an unreadable or unfinished one gives an empty summary."""
    try:
        found = jsonx.peek(body, _Peek, strict=False)
    except jsonx.Malformed:
        return Summary()
    if not found.done:
        return Summary(model=found.model)
    counted = usage(wire.Answer(prompt_eval_count=found.prompt_eval_count, eval_count=found.eval_count))
    calls = bool(found.message and found.message.tool_calls)
    return Summary(counted, finish(found.done_reason, calls=calls).reason, found.model)
