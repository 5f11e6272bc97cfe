"""Rows of the books for tests, by the names of their columns."""

from typing import Any

import msgspec

from llm_mux.ledger.rows import COUNTED, NAMED, Exchange, Names

_NOTHING: dict[str, Any] = {
    **dict.fromkeys(("client_key", "user", "model_served", "provider", "account", "error_kind", "stop_reason")),
    **dict.fromkeys(("price_source", "path", "reasoning_tokens", "ttft_ms", "cost")),
    **dict.fromkeys(("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"), 0),
    **{"attempts": 0, "usage_estimated": False, "cache_write_1h_tokens": 0},
}


def row_of(**columns: Any) -> Exchange:
    """With nothing where a column may have that."""
    whole = _NOTHING | columns
    return Exchange(Names(*(whole.pop(name) for name in NAMED)), **whole)


def columns_of(row: Exchange) -> dict[str, Any]:
    """All that it says, by column."""
    return msgspec.structs.asdict(row.names) | {name: getattr(row, name) for name in COUNTED}
