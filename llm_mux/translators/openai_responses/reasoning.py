"""Reasoning items: to canonical reasoning and back, with the sealed content that only its maker can read.

Rule: a seal of this format holds `{"id", "encrypted_content"}` (and the summary when it had several parts), because
the server checks the id against the content. Seals of other formats travel in an envelope, that of a tool call (Gemini)
in an item without words right before the call; without a usable seal the item is not sent at all. In a stream only the
content of `output_item.done` counts.
Spec: the Responses API page, section 5; translation matrix, section 5.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from llm_mux import ir
from llm_mux.translators import envelope
from llm_mux.translators.base import usable
from llm_mux.translators.openai_responses import wire
from llm_mux.translators.openai_responses.reading import OWNER, present, wrong

JOINT = "\n\n"
"""Between the parts of a summary when they become one text."""


class Sealed(Struct, omit_defaults=True):
    """The data of our own seals."""

    id: str | None = None
    encrypted_content: str | None = None
    summary: Raw | UnsetType = UNSET


_sealed: msgspec.json.Decoder[Sealed] = msgspec.json.Decoder(Sealed)


def text_of(item: wire.Item, where: str) -> tuple[str, bool]:
    """The item's text, and whether it is the chain itself and not a summary."""
    summaries = _texts(item.summary, f"{where}.summary")
    if summaries:
        return JOINT.join(summaries), False
    chain = _texts(item.content, f"{where}.content")
    return "".join(chain), bool(chain)


_usual: msgspec.json.Decoder[str | list[wire.Summary]] = msgspec.json.Decoder(str | list[wire.Summary])


def _texts(raw: Raw | UnsetType, where: str) -> list[str]:
    if not present(raw):
        return []
    try:
        found = _usual.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise wrong(where, error) from None
    return [found] if isinstance(found, str) else [part.text for part in found]


def decode(item: wire.Item, where: str) -> ir.Reasoning | None:
    """A reasoning item of a client's history; None when it says nothing."""
    text, raw = text_of(item, where)
    encrypted = item.encrypted_content
    if not encrypted:
        return ir.Reasoning(text, raw=raw) if text else None
    native = envelope.unseal(encrypted) if envelope.is_sealed(encrypted) else seal(item, "")
    return ir.Reasoning(text, native=native, raw=raw) if text or native else None


def seal(item: wire.Item, family: str) -> ir.Native | None:
    """What has to go back to the server that made `item`; None when it sealed nothing."""
    if not item.encrypted_content:
        return None
    several = present(item.summary) and bytes(item.summary).count(b'"text"') > 1
    data = Sealed(item.id, item.encrypted_content, item.summary if several else UNSET)
    return ir.Native(OWNER, Raw(msgspec.json.encode(data)), family)


def own(native: ir.Native | None) -> Sealed | None:
    """The content of a seal of this format."""
    if native is None or native.owner != OWNER:
        return None
    try:
        found = _sealed.decode(native.data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found if found.encrypted_content else None


def to_server(part: ir.Reasoning, model: str) -> wire.ReasoningOut | None:
    """The item to send to `model`; None when there is no seal that it could check."""
    found = own(part.native) if usable(part.native, OWNER, model) else None
    if found is None:
        return None
    summary: list[wire.SummaryOut] | Raw = found.summary if present(found.summary) else _summary(part)
    content = [wire.ReasoningTextOut(part.text)] if part.raw and part.text else None
    return wire.ReasoningOut(summary, id=found.id, content=content, encrypted_content=found.encrypted_content)


def _summary(part: ir.Reasoning) -> list[wire.SummaryOut]:
    return [wire.SummaryOut(part.text)] if part.text and not part.raw else []


def shown_raw(part: ir.Reasoning) -> bool:
    """Whether a client sees the text as the chain itself. Other formats' reasoning is a summary to it: that is what
    clients show, and they do not all know the other form."""
    return part.raw and part.native is not None and part.native.owner == OWNER


def to_client(part: ir.Reasoning, item_id: str, status: str) -> wire.ReasoningOut:
    """The item to give to a client under `item_id`: our own seal as it is when the ids agree, else in an envelope."""
    found = own(part.native)
    raw = shown_raw(part)
    content = [wire.ReasoningTextOut(part.text)] if raw and part.text else None
    summary: list[wire.SummaryOut] | Raw = [wire.SummaryOut(part.text)] if part.text and not raw else []
    encrypted = None
    if found is not None and found.id in (None, item_id):
        encrypted = found.encrypted_content
        summary = found.summary if present(found.summary) else summary
    elif part.native is not None:
        encrypted = envelope.seal(part.native)
    return wire.ReasoningOut(summary, id=item_id, content=content, encrypted_content=encrypted, status=status)


def before_call(call: ir.ToolCall, item_id: str) -> wire.ReasoningOut | None:
    """The item that carries another format's seal of `call` to a client; None when it has none."""
    if call.native is None or call.native.owner == OWNER:
        return None
    return wire.ReasoningOut([], id=item_id, encrypted_content=envelope.seal_of_call(call.native), status="completed")


def item_id(part: ir.Reasoning) -> str | None:
    """The id under which a whole answer may give `part` so that its own seal fits."""
    found = own(part.native)
    return found.id if found is not None else None
