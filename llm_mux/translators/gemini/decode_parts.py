"""The contents of a Gemini client's request as messages: parts, calls and results paired, media, sealed natives.

Rules. Contents in the official spelling are decoded in one typed pass; any other spelling or unknown field takes the
tolerant way, part by part. Calls without an id get one from their place in the conversation, and results without one
take the id of the first waiting call of their name.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import msgspec
from msgspec import UNSET, Raw, Struct, field

from llm_mux import ir
from llm_mux.errors import bad_request
from llm_mux.translators import ids
from llm_mux.translators.base import present
from llm_mux.translators.gemini import fields, seals, spelling, wire
from llm_mux.wire import jsonx, media


class _PlainOutput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What most tools say: a text and nothing else."""

    output: str


_plain_output = msgspec.json.Decoder(_PlainOutput)
_contents = msgspec.json.Decoder(list[wire.ClientContent], strict=False)
_ROLES: dict[str, ir.Role] = {
    "user": "user",
    "function": "user",
    "tool": "user",
    "model": "assistant",
    "assistant": "assistant",
}
_URL_SAFE = str.maketrans("-_", "+/")
# How a medium is to be looked at; the resolution has a form elsewhere, and `partMetadata` is for the client alone.
_HANDLING = tuple(name for name in wire.METADATA if name not in ("mediaResolution", "partMetadata"))
# That more of a result comes later, and when the model is to look at it.
_LATER = ("willContinue", "scheduling")
_LEVELS = {"LOW": "low", "HIGH": "high", "ULTRA_HIGH": "high"}


class _Calls(Struct):
    """The calls that wait for a result, and how many came before. `beneath`: fields beside parts that others lose."""

    turn: int = 0
    last: ir.Role = "user"
    beneath: set[str] = field(default_factory=set)
    waiting: deque[tuple[str, str]] = field(default_factory=deque)

    def answered_by(self, response: wire.FunctionResponse) -> str:
        """The id of the call that `response` belongs to: by id, else the first of its name, else its own words."""
        for place, wanted in ((0, response.id), (1, response.name)):
            found = next((call for call in self.waiting if wanted and call[place] == wanted), None)
            if found is not None:
                self.waiting.remove(found)
                return found[0]
        return response.id or response.name or ""


def system_message(value: Raw | None) -> tuple[ir.Message, ...]:
    """The system instruction as a message: a Content, or plain text."""
    if value is None or not present(value):
        return ()
    if bytes(value).lstrip().startswith(b'"'):
        parts: tuple[ir.Part, ...] = (ir.Text(fields.decoded("systemInstruction", value, str)),)
    else:
        content = fields.respelled("systemInstruction", value, spelling.CONTENT)
        parts = _tolerant_parts("systemInstruction", fields.members("systemInstruction", content), _Calls())
    return (ir.Message("system", parts),) if parts else ()


def decode_messages(value: Raw | None) -> tuple[tuple[ir.Message, ...], frozenset[str]]:
    """The conversation, and the fields beside its parts that others lose; the contents of one model turn, which SDKs
    keep record by record, are one message."""
    if value is None or not present(value):
        raise bad_request("The request has no contents.", param="contents")
    calls = _Calls()
    messages = _read(value, calls)
    if not messages:
        raise bad_request("The request's contents are empty.", param="contents")
    return messages, frozenset(calls.beneath)


def _read(value: Raw, calls: _Calls) -> tuple[ir.Message, ...]:
    try:
        contents = _contents.decode(value)
    except msgspec.ValidationError:
        return _whole_turns(_tolerant_messages(value, calls))
    return _whole_turns(
        ir.Message(
            _role(f"contents[{position}]", content.role, calls),
            tuple(_parts(f"contents[{position}]", content.parts or (), calls)),
        )
        for position, content in enumerate(contents)
    )


def _whole_turns(messages: Iterable[ir.Message]) -> tuple[ir.Message, ...]:
    whole: list[ir.Message] = []
    for message in messages:
        if message.role != "assistant":
            whole.append(message)
        elif whole and whole[-1].role == "assistant":
            whole[-1] = ir.Message("assistant", _rejoined(whole[-1].parts + message.parts))
        else:
            whole.append(ir.Message("assistant", _rejoined(message.parts)))
    return tuple(whole)


def _rejoined(parts: Sequence[ir.Part]) -> tuple[ir.Part, ...]:
    """Pieces of one text as one part again, and another vendor's seal with the thought it was sent after.

    A part that this format signed keeps its boundaries.
    """
    made: list[ir.Part] = []
    for part in parts:
        last = made[-1] if made else None
        if isinstance(part, ir.Text) and isinstance(last, ir.Text) and part.native is None and last.native is None:
            made[-1] = ir.Text(last.text + part.text)
        elif isinstance(part, ir.Reasoning) and isinstance(last, ir.Reasoning) and _same_thought(last, part):
            made[-1] = ir.Reasoning(last.text + part.text, part.native)
        else:
            made.append(part)
    return tuple(made)


def _same_thought(last: ir.Reasoning, part: ir.Reasoning) -> bool:
    return last.native is None and (part.native is None or part.native.owner != seals.OWNER)


def _tolerant_messages(value: Raw, calls: _Calls) -> Iterator[ir.Message]:
    for position, item in enumerate(fields.items("contents", value)):
        path = f"contents[{position}]"
        if bytes(item).lstrip().startswith(b'"'):
            yield ir.Message("user", (ir.Text(fields.decoded(path, item, str)),))
            continue
        content = fields.members(path, fields.respelled(path, item, spelling.CONTENT))
        role = _role(path, fields.optional(f"{path}.role", content, str), calls)
        yield ir.Message(role, _tolerant_parts(path, content, calls))


def _role(path: str, role: str | None, calls: _Calls) -> ir.Role:
    known = _ROLES.get(role or "user")
    if known is None:
        raise bad_request("A content's role must be user or model.", param=f"{path}.role")
    if known == "assistant" and calls.last != "assistant":
        calls.turn += 1
        calls.waiting.clear()
    calls.last = known
    return known


def _tolerant_parts(path: str, content: dict[str, Raw], calls: _Calls) -> tuple[ir.Part, ...]:
    given = content.get("parts")
    if given is None or not present(given):
        return ()
    made: list[ir.Part] = []
    for position, item in enumerate(fields.items(f"{path}.parts", given)):
        name = f"{path}.parts[{position}]"
        part = fields.decoded(name, item, wire.Part)
        members = fields.members(name, item)
        unknown = {key: inner for key, inner in members.items() if key not in wire.Part.__struct_fields__}
        if unknown and _is_empty(part):
            native = ir.Native(seals.OWNER, Raw(jsonx.encode(members)))
            made.append(ir.Opaque(native, label=next(iter(unknown))))
        else:
            made.extend(_with_beside(one, unknown) for one in _parts(path, (part,), calls))
    return tuple(made)


def _is_empty(part: wire.Part) -> bool:
    bare = (part.text, part.inlineData, part.fileData, part.functionCall, part.functionResponse)
    return all(value is None for value in bare) and all(getattr(part, kind) is UNSET for kind in wire.SERVER_KINDS)


def _with_beside(part: ir.Part, unknown: dict[str, Raw]) -> ir.Part:
    """`part` with fields that nobody knows kept beside its data; kinds without a native lose them."""
    if not unknown or isinstance(part, ir.ToolResult | ir.Refusal | ir.Opaque):
        return part
    native = part.native
    if native is not None and native.owner != seals.OWNER:
        return part
    known = {} if native is None else jsonx.decode(bytes(native.data), dict[str, Raw])
    return msgspec.structs.replace(part, native=ir.Native(seals.OWNER, Raw(jsonx.encode(known | unknown))))


def _parts(path: str, parts: list[wire.ClientPart] | tuple[wire.Part, ...], calls: _Calls) -> Iterator[ir.Part]:
    for part in parts:
        native = seals.of_part(part)
        if native is not None:
            calls.beneath.update(name for name in _HANDLING if getattr(part, name) is not UNSET)
        if part.functionCall is not None:
            yield _call(path, part.functionCall, native, calls)
        elif part.functionResponse is not None:
            yield _result(path, part.functionResponse, calls)
        elif part.inlineData is not None or part.fileData is not None:
            yield medium(part, native)
        elif part.text is not None:
            yield ir.Reasoning(part.text, native) if part.thought else ir.Text(part.text, native=native)
        else:
            yield from _server_part(part)


def _call(path: str, call: wire.FunctionCall, native: ir.Native | None, calls: _Calls) -> ir.ToolCall:
    if not call.name:
        raise bad_request("A function call has no name.", param=f"{path}.parts.functionCall.name")
    arguments = bytes(call.args).decode() if isinstance(call.args, Raw) and present(call.args) else ""
    made = call.id or ids.synthesised("", calls.turn, len(calls.waiting), call.name, arguments)
    calls.waiting.append((made, call.name))
    return ir.ToolCall(made, call.name, arguments, native=native)


def _result(path: str, response: wire.FunctionResponse, calls: _Calls) -> ir.ToolResult:
    call_id = calls.answered_by(response)
    if not call_id:
        raise bad_request("A function response has neither id nor name.", param=f"{path}.parts.functionResponse.name")
    content, is_error, plain = _output(path, response)
    content += tuple(_of_result(part, calls) for part in response.parts or () if part.inlineData or part.fileData)
    calls.beneath.update(name for name in _LATER if getattr(response, name) is not UNSET)
    native = None
    if not plain or response.willContinue is not UNSET or response.scheduling is not UNSET:
        kept = wire.FunctionResponse(
            response=response.response, willContinue=response.willContinue, scheduling=response.scheduling
        )
        native = ir.Native(seals.OWNER, Raw(jsonx.encode(kept)))
    return ir.ToolResult(call_id, content, name=response.name or None, is_error=is_error, native=native)


def _output(path: str, response: wire.FunctionResponse) -> tuple[tuple[ir.Part, ...], bool | None, bool]:
    """What the tool said, whether that is an error, and whether `output` or `error` text says all of it."""
    if not isinstance(response.response, Raw) or not present(response.response):
        return (), None, True
    try:
        text = _plain_output.decode(response.response).output
        return ((ir.Text(text),) if text else ()), None, True
    except msgspec.ValidationError:
        pass
    members = fields.decoded(f"{path}.parts.functionResponse.response", response.response, dict[str, Raw])
    key = next((name for name in ("output", "error") if name in members), None)
    said = response.response if key is None else members[key]
    is_error = True if key == "error" else None
    if bytes(said).lstrip().startswith(b'"'):
        text = jsonx.decode(bytes(said), str)
        return ((ir.Text(text),) if text else ()), is_error, len(members) == 1
    return (ir.Text(bytes(said).decode()),), is_error, False


def _of_result(part: wire.ResultPart, calls: _Calls) -> ir.Part:
    native = seals.of_result_part(part)
    if native is not None:
        calls.beneath.update(name for name in _HANDLING if getattr(part, name) is not UNSET)
    plain = wire.Part(inlineData=part.inlineData, fileData=part.fileData, mediaResolution=part.mediaResolution)
    return medium(plain, native)


def medium(part: wire.Part, native: ir.Native | None) -> ir.Part:
    """The image, sound, film or document of a part. Files at Google belong to it; other references are plain URLs."""
    if part.inlineData is not None:
        blob = part.inlineData
        return _medium(ir.Inline(blob.mimeType, _standard(blob.data)), blob.mimeType, blob.displayName, part, native)
    assert part.fileData is not None
    data, uri = part.fileData, part.fileData.fileUri
    type_ = data.mimeType or media.guess(uri.split("?", 1)[0].rsplit("/", 1)[-1])
    if "youtube.com/" in uri or "youtu.be/" in uri:
        return ir.Video(ir.Url(uri, type_), native)
    at_google = not uri.startswith(("http://", "https://")) or "generativelanguage.googleapis.com/" in uri
    source: ir.Source = ir.FileId(seals.OWNER, uri, type_) if at_google else ir.Url(uri, type_)
    return _medium(source, type_ or "", data.displayName, part, native)


def _standard(data: str) -> str:
    """Base64 in the standard alphabet: Google's Python SDK sends the URL-safe one, which other vendors refuse."""
    return data.translate(_URL_SAFE) if "-" in data or "_" in data else data


def _medium(source: ir.Source, type_: str, name: str | None, part: wire.Part, native: ir.Native | None) -> ir.Part:
    match type_.split("/", 1)[0]:
        case "image":
            return ir.Image(source, _detail(part), native=native)
        case "audio":
            return ir.Audio(source, native)
        case "video":
            return ir.Video(source, native)
        case _:
            return ir.Document(source, name=name, native=native)


class _Resolution(msgspec.Struct, frozen=True):
    level: str | None = None


def _detail(part: wire.Part) -> str | None:
    if not isinstance(part.mediaResolution, Raw) or not present(part.mediaResolution):
        return None
    level = fields.decoded("mediaResolution", part.mediaResolution, _Resolution).level
    return _LEVELS.get(spelling.word(level, "MEDIA_RESOLUTION_"))


def _server_part(part: wire.Part) -> Iterator[ir.Part]:
    """A part of Gemini's own tools; an empty part gives nothing."""
    for kind in wire.SERVER_KINDS:
        if isinstance(getattr(part, kind), Raw):
            yield opaque(part, kind)
            return


def opaque(part: wire.Part, kind: str) -> ir.Opaque:
    """A server-side part for its owner, with what it says for others; calls and their answers are dropped together."""
    native = ir.Native(seals.OWNER, Raw(jsonx.encode(part)))
    if kind == "executableCode":
        code = jsonx.decode(bytes(part.executableCode), wire.ExecutableCode)  # type: ignore[arg-type]  # it is set
        return ir.Opaque(native, kind, f"```{code.language.lower()}\n{code.code}\n```", hint=not code.code)
    if kind == "codeExecutionResult":
        result = jsonx.decode(bytes(part.codeExecutionResult), wire.CodeExecutionResult)  # type: ignore[arg-type]
        return ir.Opaque(native, kind, result.output, hint=not result.output)
    return ir.Opaque(native, kind, hint=True)
