"""Input items to turns: messages, calls, results, reasoning, and the items that change settings in mid-conversation.

Decisions. Items of the assistant that follow each other are one turn. Items of server-side tools stay raw for this
format and leave a short stand-in for others, or nothing where the answer's text already says it. A `compaction` of ours
opens into its summary; OpenAI's own leaves an honest note. `additional_tools`, `tool_search_output` and
`configuration_update` take effect on the whole request. Spec: the Responses API page, section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NoReturn

import msgspec
from msgspec import Raw

from llm_mux import ir
from llm_mux.errors import bad_request
from llm_mux.translators import envelope
from llm_mux.translators.openai_responses import beside, parts, reasoning, searches, summary, tools, wire
from llm_mux.translators.openai_responses.reading import OWNER, first_byte, present, read
from llm_mux.wire import jsonx

ROLES: Final[dict[str, ir.Role]] = {
    "system": "system",
    "developer": "developer",
    "user": "user",
    "assistant": "assistant",
}

# Calls of tools that the server ran: the answer's own text holds what came of them.
_SILENT: Final = frozenset(
    {"web_search_call", "file_search_call", "code_interpreter_call", "mcp_list_tools", "mcp_approval_request"}
    | {"mcp_approval_response"}
)
# Items that came from the assistant's side (all others that are not messages came from the client's).
_ASSISTANTS: Final = frozenset(
    {"web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call", "computer_call"}
    | {"local_shell_call", "shell_call", "apply_patch_call", "mcp_list_tools", "mcp_call", "mcp_approval_request"}
    | {"program", "program_output", "compaction"}
)
_LONGEST_STAND_IN: Final = 4000
NOTE_COMPACTED: Final = "[The earlier conversation was compacted into a form that only its provider can read.]"


class Conversation:
    """Collects turns item by item. `offered`: the tools that items bring, as they came."""

    def __init__(self, *, codex: bool = False) -> None:
        self.codex = codex
        self.messages: list[ir.Message] = []
        self.tools: list[ir.Tool | ir.HostedTool] = []
        self.offered: list[Raw] = []
        self.updates: list[wire.Item] = []
        self.compacts = False
        self._turn: list[ir.Part] = []
        self._phase: str | None = None
        self._seal: ir.Native | None = None

    def copy(self) -> Conversation:
        """Another one, as far as this one has come."""
        made = Conversation(codex=self.codex)
        made.messages, made.tools, made.offered = self.messages.copy(), self.tools.copy(), self.offered.copy()
        made.updates, made.compacts = self.updates.copy(), self.compacts
        made._turn, made._phase, made._seal = self._turn.copy(), self._phase, self._seal
        return made

    def finished(self) -> tuple[ir.Message, ...]:
        self._close()
        return tuple(self.messages)

    def add(self, role: ir.Role, found: Sequence[ir.Part], phase: str | None = None) -> None:
        """Parts of a turn that is not the assistant's, or a whole message of the assistant's."""
        if role == "assistant":
            self._assistant_message(found, phase)
        else:
            self._close()
            self.messages.append(ir.Message(role, tuple(found)))

    def assistant(self, *found: ir.Part) -> None:
        """Parts that belong to the assistant's turn whatever its phase."""
        self._turn.extend(found)

    def seal(self, native: ir.Native | None) -> None:
        """The seal of the assistant's next call."""
        self._seal = native

    def call(self, call: ir.ToolCall) -> None:
        native, self._seal = self._seal, None
        self._turn.append(call if native is None else msgspec.structs.replace(call, native=native))

    def result(self, result: ir.ToolResult) -> None:
        self._close()
        last = self.messages[-1] if self.messages else None
        if last is not None and last.role == "user" and all(isinstance(p, ir.ToolResult) for p in last.parts):
            self.messages[-1] = ir.Message("user", (*last.parts, result))
        else:
            self.messages.append(ir.Message("user", (result,)))

    def aside(self, part: ir.Part) -> None:
        """A part without words of its own: among leading system messages it must not end the system slot."""
        self._close()
        leading = all(message.role in ("system", "developer") for message in self.messages)
        self.messages.append(ir.Message("developer" if leading else "user", (part,)))

    def _assistant_message(self, found: Sequence[ir.Part], phase: str | None) -> None:
        spoken = any(isinstance(part, ir.Text | ir.Refusal) for part in self._turn)
        called = any(isinstance(part, ir.ToolCall) for part in self._turn)
        if spoken and phase != self._phase and not called:
            self._close()
            spoken = False
        if not spoken:
            self._phase = phase
        self._turn.extend(found)

    def _close(self) -> None:
        self._seal = None
        if self._turn:
            self.messages.append(ir.Message("assistant", tuple(self._turn), phase=self._phase))
            self._turn, self._phase = [], None


def add_item(into: Conversation, raw: Raw, where: str) -> None:
    """One element of `input`."""
    if first_byte(raw) == b'"':
        into.add("user", parts.content(raw, where))
        return
    try:
        item = _item.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        item = _odd(raw, where)
    kind = item.type or ("message" if item.role is not None else "item_reference")
    step = _STEPS.get(kind)
    if step is None:
        _kept(into, item, raw, kind)
    else:
        step(into, item, raw, where)


_item: msgspec.json.Decoder[wire.Item] = msgspec.json.Decoder(wire.Item, strict=False)


def _odd(raw: Raw, where: str) -> wire.Item:
    """An item whose fields have other types than we know: an error for the kinds we know, else kept by its kind."""
    kind = read(raw, wire.ItemKind, where).type
    if kind is None or kind in _STEPS:
        return read(raw, wire.Item, where)
    return wire.Item(type=kind)


def _message(into: Conversation, item: wire.Item, raw: Raw, where: str) -> None:
    role = ROLES.get(item.role or "")
    if role is None:
        message = f"`{where}.role` must be one of {', '.join(ROLES)}."
        raise bad_request(message, param=f"{where}.role", code="invalid_value")
    found = parts.content(item.content, f"{where}.content")
    if found:
        into.add(role, found, item.phase)


def _function_call(into: Conversation, item: wire.Item, raw: Raw, where: str) -> None:
    name = item.name or _lacks(where, "name")
    call_id, native = _call_id(item, where), beside.of_call(item)
    into.call(ir.ToolCall(call_id, name, text_of(item.arguments), namespace=item.namespace, native=native))


def _custom_call(into: Conversation, item: wire.Item, raw: Raw, where: str) -> None:
    name = item.name or _lacks(where, "name")
    call_id, native = _call_id(item, where), beside.of_call(item)
    call = ir.ToolCall(call_id, name, text_of(item.input), custom=True, namespace=item.namespace, native=native)
    into.call(call)


def _result(into: Conversation, item: wire.Item, raw: Raw, where: str) -> None:
    custom = item.type == "custom_tool_call_output"
    found = output(item.output, f"{where}.output")
    native = beside.of_result(item)
    into.result(ir.ToolResult(_call_id(item, where), found, name=item.name, custom=custom, native=native))


def _reasoning(into: Conversation, item: wire.Item, raw: Raw, where: str) -> None:
    if item.encrypted_content and envelope.is_of_call(item.encrypted_content):
        into.seal(envelope.unseal_of_call(item.encrypted_content))
        return
    part = reasoning.decode(item, where)
    if part is not None:
        into.assistant(part)


def _compaction(into: Conversation, item: wire.Item, raw: Raw, where: str) -> None:
    text = summary.opened(item.encrypted_content or "")
    if text is not None:
        into.add("user", (ir.Text(text),))
    elif not envelope.is_sealed(item.encrypted_content or ""):
        into.assistant(ir.Opaque(ir.Native(OWNER, raw), label="compaction", text=NOTE_COMPACTED))


def _compaction_trigger(into: Conversation, item: wire.Item, raw: Raw, where: str) -> None:
    into.compacts = True
    into.add("user", (ir.Opaque(ir.Native(OWNER, raw), label="compaction_trigger", text=summary.PROMPT),))


def _additional_tools(into: Conversation, item: wire.Item, raw: Raw, where: str) -> None:
    into.tools.extend(_tools(into, item, where))
    into.aside(ir.Opaque(ir.Native(OWNER, raw), label="additional_tools", hint=True))


def _configuration_update(into: Conversation, item: wire.Item, raw: Raw, where: str) -> None:
    into.updates.append(item)
    into.aside(ir.Opaque(ir.Native(OWNER, raw), label="configuration_update", hint=True))


def _tool_search_call(into: Conversation, item: wire.Item, raw: Raw, where: str) -> None:
    native = ir.Native(OWNER, raw)
    if item.call_id and item.execution == "client":
        into.assistant(ir.ToolCall(item.call_id, tools.SEARCH, text_of(item.arguments), native=native))
    else:
        into.assistant(ir.Opaque(native, label="tool_search_call", hint=True))


def _tool_search_output(into: Conversation, item: wire.Item, raw: Raw, where: str) -> None:
    found = _tools(into, item, where)
    into.tools.extend(found)
    native = ir.Native(OWNER, raw)
    if not item.call_id or item.execution != "client":
        into.assistant(ir.Opaque(native, label="tool_search_output", hint=True))
        return
    names = [f"{t.namespace}.{t.name}" if t.namespace else t.name for t in found if isinstance(t, ir.Tool)]
    text = f"Tools that can be called now: {', '.join(names)}" if names else "No tools were found."
    into.result(ir.ToolResult(item.call_id, (ir.Text(text),), name=tools.SEARCH, native=native))


def _tools(into: Conversation, item: wire.Item, where: str) -> tools.Tools:
    raws = read(item.tools, list[Raw], f"{where}.tools") if present(item.tools) else []
    into.offered.extend(raws)
    return tools.decode_tools(raws, f"{where}.tools", codex=into.codex, elsewhere=True)


def _image_call(into: Conversation, item: wire.Item, raw: Raw, where: str) -> None:
    native = ir.Native(OWNER, raw)
    if present(item.result) and first_byte(item.result) == b'"':
        data = ir.Inline(f"image/{item.output_format or 'png'}", read(item.result, str, where))
        into.assistant(ir.Image(data, native=native))
    else:
        into.assistant(ir.Opaque(native, label="image_generation_call", hint=True))


def _item_reference(into: Conversation, item: wire.Item, raw: Raw, where: str) -> None:
    if item.type is None and item.id is None:
        raise bad_request(f"`{where}` has neither `type` nor `role`.", param=f"{where}.type", code="invalid_value")
    into.aside(ir.Opaque(ir.Native(OWNER, raw), label="item_reference"))


def _kept(into: Conversation, item: wire.Item, raw: Raw, kind: str) -> None:
    """An item of a server-side tool, or of a kind that nobody knows yet."""
    native = ir.Native("none" if searches.stands_in(item.id) else OWNER, raw)
    if kind in _SILENT:
        part = ir.Opaque(native, label=kind, hint=True)
    else:
        part = ir.Opaque(native, label=kind, text=_stand_in(kind, raw))
    if kind in _ASSISTANTS:
        into.assistant(part)
    else:
        into.add("user", (part,))


def _stand_in(kind: str, raw: Raw) -> str:
    text = bytes(memoryview(raw)[:_LONGEST_STAND_IN]).decode("utf-8", "replace")
    return f"[{kind}] {text}" if kind in _ASSISTANTS or kind.endswith("_output") else f"[{kind} left out]"


_STEPS: Final[dict[str, Callable[[Conversation, wire.Item, Raw, str], None]]] = {
    "message": _message,
    "function_call": _function_call,
    "function_call_output": _result,
    "custom_tool_call": _custom_call,
    "custom_tool_call_output": _result,
    "reasoning": _reasoning,
    "compaction": _compaction,
    "compaction_summary": _compaction,
    "compaction_trigger": _compaction_trigger,
    "additional_tools": _additional_tools,
    "configuration_update": _configuration_update,
    "tool_search_call": _tool_search_call,
    "tool_search_output": _tool_search_output,
    "image_generation_call": _image_call,
    "item_reference": _item_reference,
}


def _call_id(item: wire.Item, where: str) -> str:
    return item.call_id or item.id or _lacks(where, "call_id")


def _lacks(where: str, name: str) -> NoReturn:
    place = f"{where}.{name}"
    raise bad_request(f"`{place}` is missing.", param=place, code="missing_required_parameter")


_string: msgspec.json.Decoder[str] = msgspec.json.Decoder(str)


def text_of(raw: Raw | msgspec.UnsetType) -> str:
    """A string field that some clients and servers fill with an object."""
    if not present(raw):
        return ""
    try:
        return _string.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return bytes(raw).decode("utf-8", "replace")


def output(raw: Raw | msgspec.UnsetType, where: str) -> tuple[ir.Part, ...]:
    """A tool's output: text, a list of parts, such a list as JSON text, or any other JSON (which stays JSON text)."""
    if not present(raw):
        return ()
    try:
        text = _string.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    else:
        return _listed(text) or ((ir.Text(text),) if text else ())
    if first_byte(raw) == b"[" and _holds_parts(raw):
        return parts.content(raw, where)
    return (ir.Text(bytes(raw).decode("utf-8", "replace")),)


def _listed(text: str) -> tuple[ir.Part, ...] | None:
    """The parts of a list that came as JSON text, as some clients send it."""
    if not (text.startswith("[{") and text.endswith("}]") and '"type"' in text):
        return None
    try:
        raw = Raw(text.encode())
        return parts.content(raw, "output") if _holds_parts(raw) else None
    except (jsonx.Malformed, UnicodeEncodeError, ValueError):
        return None


_kinds: msgspec.json.Decoder[list[wire.ItemKind]] = msgspec.json.Decoder(list[wire.ItemKind])
_strings: msgspec.json.Decoder[list[str]] = msgspec.json.Decoder(list[str])


def _holds_parts(raw: Raw) -> bool:
    """Whether a list holds content parts only (or strings only), and not a tool's own data."""
    try:
        return all(kind.type in parts.KNOWN for kind in _kinds.decode(raw))
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    try:
        return bool(_strings.decode(raw))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
