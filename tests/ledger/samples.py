"""Rows for the tests of this folder."""

from typing import Any

from llm_mux.ledger.rows import Exchange
from tests.rows import row_of

NOON = 1_790_000_000.25
"""2026-09-21T14:13:20.25Z"""


def exchange(request_id: str = "req-1", **changes: Any) -> Exchange:
    fields: dict[str, Any] = {
        "time": NOON,
        "request_id": request_id,
        "protocol": "anthropic",
        "model_asked": "sonnet",
        "model_served": "claude-sonnet-4-5",
        "provider": "anthropic",
        "account": "work",
        "attempts": 1,
        "status": 200,
        "duration_ms": 1500.5,
        "ttft_ms": 320.0,
        "input_tokens": 10,
        "output_tokens": 20,
        "cost": 123_456_789,
    }
    return row_of(**(fields | changes))
