"""The model list of a server of this format.

Rule: entries without an id are skipped; a list that cannot be read is nonsense. What a model takes says
`translators.openai_models`.
"""

from __future__ import annotations

from msgspec import Struct

from llm_mux.errors import MuxError
from llm_mux.translators.base import ModelInfo, nonsense
from llm_mux.wire import jsonx


class _Entry(Struct):
    id: str | None = None
    name: str | None = None
    display_name: str | None = None
    created: float | None = None
    owned_by: str | None = None
    context_window: int | None = None
    context_length: int | None = None
    max_output_tokens: int | None = None
    description: str | None = None


class _List(Struct):
    data: list[_Entry]


def decode_models(body: bytes) -> list[ModelInfo]:
    """The answer of `GET /models`."""
    try:
        entries = jsonx.decode(body, _List, strict=False).data
    except jsonx.Malformed as error:
        raise _not_a_list(error) from error
    return [_info(entry) for entry in entries if entry.id]


def _not_a_list(error: Exception) -> MuxError:
    return nonsense(f"a model list that cannot be read ({error})")


def _info(entry: _Entry) -> ModelInfo:
    return ModelInfo(
        id=entry.id or "",
        display_name=entry.display_name or entry.name,
        created=int(entry.created) if entry.created else None,
        owned_by=entry.owned_by,
        context=entry.context_window or entry.context_length,
        max_output=entry.max_output_tokens,
        description=entry.description,
    )
