"""Sources of an answer for clients whose format has no place for them: links below the text.

Rule: not below JSON that the client asked for, which nobody could read any more. Spec: translation matrix, section 11.
"""

from __future__ import annotations

from collections.abc import Iterable

from llm_mux import ir


def links(citations: Iterable[ir.Citation], text: str) -> str:
    """A list of the sources that the text does not name itself; "" when there are none."""
    found = {c.url: c.title or c.url for c in citations if c.url and c.url not in text}
    return "\n\nSources:\n" + "\n".join(f"- [{title}]({url})" for url, title in found.items()) if found else ""


def linked(request: ir.Request) -> bool:
    """Whether links may stand below the answer."""
    return request.output.kind == "text"
