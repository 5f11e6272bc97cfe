"""Whole answers, both ways.

Rules. A 200 with an `error` in it is an error. Whole answers and streams go through the same mapping of usage,
finish reasons, reasoning and calls. A client gets reasoning as `reasoning_content` and never inside `content`.
"""

from __future__ import annotations

import base64
from collections.abc import Container, Sequence

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.translators.base import Summary, Target, nonsense, present
from llm_mux.translators.ids import digest, synthesised
from llm_mux.translators.openai_chat import decode, models, parts, quirks, reasoning, usage, wire
from llm_mux.translators.openai_chat.errors import decode_failure
from llm_mux.translators.openai_chat.tags import ThinkTags
from llm_mux.wire import jsonx, media

_FIXED = frozenset({"id", "object", "created", "model", "choices", "usage", "error"})


def decode_response(body: bytes, target: Target) -> ir.Response:
    """A server's whole answer. Raises what an `error` in it says, or UPSTREAM_NONSENSE."""
    try:
        top = jsonx.top(body)
        found = jsonx.decode(body, wire.Answer, strict=False)
    except jsonx.Malformed as error:
        raise nonsense(f"an answer that cannot be read ({error})") from error
    if present(found.error) or found.object == "error":
        raise decode_failure(body)
    if not found.choices:
        raise nonsense("an answer without choices")
    id_ = "" if found.id is None else str(found.id)
    reader = _Reader(id_, target, found.citations)
    choices = tuple(reader.choice(choice, n) for n, choice in enumerate(found.choices))
    return ir.Response(
        id=id_,
        model=found.model or target.model,
        choices=_joined(choices) if quirks.of(target).split_choices else choices,
        usage=usage.decode_usage(found.usage or (found.x_groq.usage if found.x_groq else None)),
        created=created(found.created),
        owner=wire.NAME,
        extras={key: raw for key, raw in top.items() if key not in _FIXED and present(raw)},
    )


def _joined(choices: tuple[ir.Choice, ...]) -> tuple[ir.Choice, ...]:
    """One answer of a server that makes a choice of each piece: what was said, then the calls, which end it."""
    parts = [part for choice in choices for part in choice.parts]
    said = [part for part in parts if not isinstance(part, ir.ToolCall)]
    calls = [part for part in parts if isinstance(part, ir.ToolCall)]
    calling = (choice for choice in choices if any(isinstance(part, ir.ToolCall) for part in choice.parts))
    end = next(calling, choices[0])
    finish = msgspec.structs.replace(end.finish, choice=0)
    return (msgspec.structs.replace(choices[0], parts=(*said, *calls), finish=finish),)


def created(raw: Raw | UnsetType) -> int:
    """Unix seconds; 0 for whatever is no number."""
    try:
        return int(msgspec.json.decode(raw, type=float, strict=False)) if isinstance(raw, Raw) else 0
    except (msgspec.ValidationError, OverflowError, ValueError):
        return 0


class _Reader:
    def __init__(self, id_: str, target: Target, citations: Raw | UnsetType) -> None:
        self._id = id_
        self._think_tags = quirks.of(target).think_tags
        self._family = ir.family(target.model)
        self._raw = models.shows_chain(target.model)
        self._sources = sources(citations)

    def choice(self, choice: wire.Choice, position: int) -> ir.Choice:
        index = position if choice.index is None else choice.index
        message = choice.message or choice.delta or wire.Delta(content=choice.text)
        calls = self._calls(message, index)
        refusal = message.refusal or ""
        said = [*self._thoughts(message), *self._words(message)]
        if refusal:
            said.append(ir.Refusal(refusal))
        said += self._media(message)
        end = usage.finish(choice.finish_reason, index, calls=bool(calls), refusal=refusal)
        return ir.Choice((*said, *calls), end, tokens(choice.logprobs, refusal=bool(refusal)))

    def _thoughts(self, message: wire.Delta) -> list[ir.Part]:
        details = message.reasoning_details or []
        text = reasoning_text(message) or reasoning.details_text(details) or thought_text(message.content)
        if not text and not details:
            return []
        native = ir.Native(wire.NAME, reasoning.array(details), self._family)
        return [ir.Reasoning(text, native=native, raw=self._raw)]

    def _words(self, message: wire.Delta) -> list[ir.Part]:
        text = content_text(message.content)
        if not self._think_tags:
            return self._cited(text, message)
        tags = ThinkTags()
        pieces = [*tags.feed(text), *tags.flush()]
        thought = "".join(piece for inside, piece in pieces if inside)
        native = ir.Native(wire.NAME, Raw(b"[]"), self._family)
        said: list[ir.Part] = [ir.Reasoning(thought, native=native, raw=self._raw)] if thought else []
        return said + self._cited("".join(piece for inside, piece in pieces if not inside), message)

    def _cited(self, text: str, message: wire.Delta) -> list[ir.Part]:
        if not text:
            return []
        return [ir.Text(text, citations=tuple(citations(message.annotations) or self._sources))]

    def _media(self, message: wire.Delta) -> list[ir.Part]:
        media: list[ir.Part] = [picture for part in message.images or () if (picture := image(part)) is not None]
        if message.audio is not None and message.audio.data:
            media.append(audio(message.audio))
        return media

    def _calls(self, message: wire.Delta, choice: int) -> list[ir.ToolCall]:
        found = list(message.tool_calls or ())
        if message.function_call is not None:
            found.append(wire.Call(function=message.function_call))
        made: dict[str, ir.ToolCall] = {}
        for position, call in enumerate(found):
            one = self._call(call, choice, position, made)
            made[one.id] = one
        return list(made.values())

    def _call(self, call: wire.Call, choice: int, position: int, taken: Container[str]) -> ir.ToolCall:
        """A call with an id that no other call of the answer has, and some name."""
        custom = call.custom is not None
        name = (
            call.custom.name if call.custom else call.function.name if call.function else None
        ) or f"tool_{position}"
        text = (call.custom.input or "") if call.custom else decode.arguments(call.function) if call.function else ""
        id_ = call.id if call.id and call.id not in taken else synthesised(self._id, choice, position, name, text)
        native = reasoning.from_google(call, self._family)
        return ir.ToolCall(id_, name, text, custom=custom, native=native)


def tokens(logprobs: wire.Logprobs | None, *, refusal: bool) -> Raw | None:
    """The list of tokens with their probabilities, of the content or of the refusal."""
    if logprobs is None:
        return None
    raw = logprobs.refusal if refusal else logprobs.content
    return raw if isinstance(raw, Raw) and present(raw) else None


def reasoning_text(message: wire.Delta) -> str:
    """The reasoning that a message or delta holds under either of its names."""
    if message.reasoning_content:
        return message.reasoning_content
    return message.reasoning if isinstance(message.reasoning, str) else ""


def content_text(content: str | list[wire.Part] | None) -> str:
    """Content as text; Mistral gives a list of chunks when its models think."""
    if isinstance(content, list):
        return "".join(part.text or "" for part in content if part.type in ("text", None))
    return content or ""


def thought_text(content: str | list[wire.Part] | None) -> str:
    """The thinking chunks of such a list."""
    if not isinstance(content, list):
        return ""
    return "".join(_thought(part.thinking) for part in content if part.type == "thinking")


def _thought(thinking: str | list[wire.Part] | None) -> str:
    return thinking if isinstance(thinking, str) else "".join(part.text or "" for part in thinking or ())


def citations(annotations: Sequence[wire.Annotation] | None) -> list[ir.Citation]:
    found = [a.url_citation for a in annotations or () if a.url_citation is not None]
    return [ir.Citation(c.url, c.title, c.content, c.start_index, c.end_index) for c in found]


def sources(raw: Raw | UnsetType) -> list[ir.Citation]:
    """Perplexity's and xAI's top-level list of addresses, which speak for the whole text."""
    try:
        return [ir.Citation(url) for url in msgspec.json.decode(raw, type=list[str])] if isinstance(raw, Raw) else []
    except msgspec.ValidationError:
        return []


def image(part: wire.Part) -> ir.Image | None:
    """One entry of `images` (OpenRouter's extension)."""
    if part.image_url is None:
        return None
    try:
        found = parts.source(parts.media_url(part.image_url).url, "images")
    except MuxError:
        return None
    return ir.Image(found)


def audio(out: wire.AudioOut) -> ir.Audio:
    fields = {name: getattr(out, name) for name in ("id", "data", "expires_at", "transcript")}
    native = ir.Native(wire.NAME, Raw(msgspec.json.encode(fields)))
    return ir.Audio(ir.Inline("audio/wav", out.data or ""), native=native)


def sound(data: str, id_: str = "") -> Raw:
    """The `audio` of a message with another format's bytes, which nobody keeps: an id without a time that it holds."""
    fields = {"id": id_ or f"audio_{digest(data)}", "data": data, "expires_at": 0, "transcript": ""}
    return Raw(msgspec.json.encode(fields))


def _joined_sounds(pieces: Sequence[str]) -> str:
    """Several pieces of base64 as one; what cannot be read ends it."""
    if len(pieces) == 1:
        return pieces[0]
    heard = b""
    for piece in pieces:
        try:
            heard += base64.b64decode(piece)
        except ValueError:
            break
    return base64.b64encode(heard).decode()


class CallOut(Struct, frozen=True, omit_defaults=True):
    """A tool call for a client, whole (no `index`) or one piece of it."""

    index: int | UnsetType = UNSET
    id: str | UnsetType = UNSET
    type: str | UnsetType = UNSET
    function: FunctionOut | UnsetType = UNSET
    custom: CustomOut | UnsetType = UNSET
    extra_content: dict[str, dict[str, str]] | UnsetType = UNSET


class FunctionOut(Struct, frozen=True, omit_defaults=True):
    name: str | UnsetType = UNSET
    arguments: str | UnsetType = UNSET


class CustomOut(Struct, frozen=True, omit_defaults=True):
    name: str | UnsetType = UNSET
    input: str | UnsetType = UNSET


class AnnotationOut(Struct, frozen=True, tag_field="type", tag="url_citation"):
    url_citation: dict[str, object]


class MessageOut(Struct, frozen=True, omit_defaults=True):
    role: str
    content: str | UnsetType | None = UNSET
    refusal: str | UnsetType | None = UNSET
    reasoning_content: str | UnsetType = UNSET
    reasoning_details: list[Raw | reasoning.Sealed] | UnsetType = UNSET
    tool_calls: list[CallOut] | UnsetType = UNSET
    function_call: FunctionOut | UnsetType = UNSET
    annotations: list[AnnotationOut] | UnsetType = UNSET
    images: list[dict[str, object]] | UnsetType = UNSET
    audio: Raw | UnsetType = UNSET


class LogprobsOut(Struct, frozen=True):
    content: Raw | None = None
    refusal: Raw | None = None


class ChoiceOut(Struct, frozen=True):
    index: int
    message: MessageOut
    logprobs: LogprobsOut | None
    finish_reason: str


def encode_response(response: ir.Response, request: ir.Request) -> bytes:
    """A whole answer for a chat client. Raises UPSTREAM_NONSENSE when a choice broke."""
    functions = decode.LEGACY_FUNCTIONS in request.extras
    body: dict[str, object] = {
        "id": answer_id(response.id),
        "object": "chat.completion",
        "created": response.created,
        "model": response.model,
        "choices": [_choice(choice, functions) for choice in response.choices],
    }
    if response.usage is not None:
        body["usage"] = usage.encode_usage(response.usage)
    if response.owner == wire.NAME:
        body |= response.extras
    return jsonx.encode(body)


def answer_id(id_: str) -> str:
    """The answer's id with the prefix that chat clients know; ids of chat servers stay."""
    return id_ if id_.startswith(("chatcmpl", "gen-", "cmpl")) else f"chatcmpl-{id_}"


def broken(finish: ir.Finish) -> MuxError:
    """The error that a choice which broke off becomes: chat completions has no finish reason for it."""
    why = f" ({finish.detail})" if finish.detail else ""
    return MuxError(Kind.UPSTREAM_NONSENSE, f"The model's answer broke off: it made a call that cannot be used{why}.")


def _choice(choice: ir.Choice, functions: bool) -> ChoiceOut:
    finish = choice.finish
    if finish.reason == "broken":
        raise broken(finish)
    if (said := _said(choice)) is not None:
        word = usage.finish_word(finish, calls=False, refused=False, functions=functions)
        logprobs = None if choice.logprobs is None else LogprobsOut(choice.logprobs)
        return ChoiceOut(finish.choice, MessageOut("assistant", said, None), logprobs, word)
    message = _Message(choice.parts, functions).build(finish)
    calls = message.tool_calls is not UNSET or message.function_call is not UNSET
    refused = any(isinstance(part, ir.Refusal) for part in choice.parts)
    word = usage.finish_word(finish, calls=calls, refused=refused, functions=functions)
    return ChoiceOut(finish.choice, message, _logprobs(choice.logprobs, refused and not message.content), word)


def _said(choice: ir.Choice) -> str | None:
    """The text of a choice that holds nothing else, as most do."""
    parts = choice.parts
    if len(parts) != 1 or type(text := parts[0]) is not ir.Text or choice.finish.reason == "refusal":
        return None
    return text.text if text.native is None and not text.citations else None


def _logprobs(found: Raw | None, refused: bool) -> LogprobsOut | None:
    if found is None:
        return None
    return LogprobsOut(refusal=found) if refused else LogprobsOut(found)


class _Message:
    """Gathers the parts of one choice into a message."""

    def __init__(self, parts_: Sequence[ir.Part], functions: bool) -> None:
        self._functions = functions
        self.ledger = reasoning.Ledger()
        self.text: list[str] = []
        self.length = 0
        self.thoughts: list[str] = []
        self.refusal: list[str] = []
        self.details: list[Raw | reasoning.Sealed] = []
        self.calls: list[CallOut] = []
        self.annotations: list[AnnotationOut] = []
        self.images: list[dict[str, object]] = []
        self.audio: Raw | UnsetType = UNSET
        self.sounds: list[str] = []
        for part in parts_:
            self._take(part)

    def _take(self, part: ir.Part) -> None:
        match part:
            case ir.Text():
                self._text(part)
            case ir.Reasoning(text=text, native=native):
                self.thoughts.append(text)
                self.ledger.characters += len(text)
                if native is not None:
                    self.details += self.ledger.reasoning(native, len(text))
            case ir.ToolCall():
                self._call(part)
            case ir.Refusal(text=text):
                self.refusal.append(text)
            case ir.Image():
                self.images.append(picture(part, len(self.images)))
            case ir.Audio(native=ir.Native(owner=wire.NAME, data=data)):
                self.audio = data
            case ir.Audio(source=ir.Inline(data=data)):
                self.sounds.append(data)
                self.audio = sound(_joined_sounds(self.sounds))
            case ir.Opaque(text=text, hint=False):
                self.text.append(text)
                self.length += len(text)
            case _:
                pass

    def _text(self, part: ir.Text) -> None:
        self.annotations += [annotation(c, self.length, len(part.text)) for c in part.citations if c.url is not None]
        self.text.append(part.text)
        self.length += len(part.text)
        if part.native is not None:
            self.details += self.ledger.text(part.native)

    def _call(self, call: ir.ToolCall) -> None:
        self.ledger.calls += 1
        extra = None
        if call.native is not None:
            extra = reasoning.google(call.native)
            if extra is None:
                self.details += self.ledger.call(call.native, call.id)
        self.calls.append(whole_call(call, extra))

    def build(self, finish: ir.Finish) -> MessageOut:
        text = "".join(self.text)
        refusal = "".join(self.refusal)
        if finish.reason == "refusal" and not refusal:
            refusal = finish.detail or usage.DECLINED
        old = self._functions and bool(self.calls)
        empty = None if self.calls or refusal or self.audio is not UNSET else ""
        return MessageOut(
            "assistant",
            text or empty,
            refusal or None,
            "".join(self.thoughts) or UNSET,
            self.details or UNSET,
            UNSET if old or not self.calls else self.calls,
            self.calls[0].function if old else UNSET,
            self.annotations or UNSET,
            self.images or UNSET,
            self.audio,
        )


def whole_call(call: ir.ToolCall, extra: dict[str, dict[str, str]] | None) -> CallOut:
    signature: dict[str, dict[str, str]] | UnsetType = UNSET if extra is None else extra
    if call.custom:
        return CallOut(UNSET, call.id, "custom", custom=CustomOut(call.name, call.arguments), extra_content=signature)
    function = FunctionOut(call.name, call.arguments or "{}")
    return CallOut(UNSET, call.id, "function", function, extra_content=signature)


def annotation(citation: ir.Citation, base: int, length: int) -> AnnotationOut:
    """A citation of the text part that begins at character `base` of the content and is `length` long."""
    start = citation.start or 0
    end = length if citation.end is None else citation.end
    where = {"start_index": base + start, "end_index": base + end}
    return AnnotationOut({**where, "url": citation.url, "title": citation.title or ""})


def picture(image_: ir.Image, index: int) -> dict[str, object]:
    """An entry of `images`."""
    source = image_.source
    url = media.data_url(source.media_type, source.data) if isinstance(source, ir.Inline) else ""
    if isinstance(source, ir.Url):
        url = source.url
    return {"type": "image_url", "index": index, "image_url": {"url": url}}


class _Peek(Struct):
    id: str | None = None
    model: str | None = None
    usage: wire.Usage | None = None
    choices: list[_PeekChoice] | None = None


class _PeekChoice(Struct):
    finish_reason: str | None = None


def summary(body: bytes) -> Summary:
    """What the books need of a whole answer; an unreadable one gives an empty summary."""
    try:
        found = jsonx.peek(body, _Peek, strict=False)
    except jsonx.Malformed:
        return Summary()
    end = None
    for choice in found.choices or ():
        if end := choice.finish_reason or None:
            break
    return Summary(usage.decode_usage(found.usage), end, found.model, found.id)
