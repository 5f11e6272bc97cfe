"""Documents for formats that have no place for all that others say of one: a context, citations, a detail."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence

from llm_mux import ir
from llm_mux.errors import bad_request


def is_text(part: ir.Part) -> bool:
    """Whether `part` is a plain-text document that the request holds."""
    source = part.source if isinstance(part, ir.Document) else None
    return isinstance(source, ir.Inline) and source.media_type.startswith("text/")


def as_text(part: ir.Document) -> str:
    """A plain-text document as text, under its name and what the client says of it."""
    data = part.source.data if isinstance(part.source, ir.Inline) else ""
    try:
        text = base64.b64decode(data).decode("utf-8", "replace")
    except ValueError as error:
        raise bad_request("A text document is not valid base64.", param="messages") from error
    title = " - ".join(word for word in (part.name, part.context) if word)
    return f"{title}\n\n{text}" if title else text


def told(parts: Sequence[ir.Part]) -> Iterator[ir.Part]:
    """`parts` with the context of each file as a text before it, for formats without a slot for it."""
    for part in parts:
        if isinstance(part, ir.Document) and part.context and not is_text(part):
            yield ir.Text(part.context)
        yield part


def lost(part: ir.Document, *, cites: bool = False, details: bool = False) -> list[str]:
    """What to report for a target that does not cite documents, or knows no level of detail for them."""
    found = ["citations"] if part.cited and not cites else []
    return found if details or part.detail in (None, "auto") else [*found, "file.detail"]
