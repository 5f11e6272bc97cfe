"""Prints llm_mux/ledger/prices.json from the installed genai-prices package. Run as `python -m scripts.prices`.

The package is a part of the development set-up only; the daemon reads what this script made of it.
"""

from __future__ import annotations

import sys
from dataclasses import is_dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from importlib.metadata import version
from typing import Any

import msgspec
from genai_prices.data import providers
from genai_prices.types import ModelPrice

from llm_mux.ledger.price_import import imported


def plain(value: Any) -> Any:
    """The package's objects in the form that its project publishes as JSON."""
    if isinstance(value, ModelPrice):
        return {name: plain(each) for name, each in vars(value).items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {name.rstrip("_"): plain(getattr(value, name)) for name in value.__dataclass_fields__}
    return str(value) if isinstance(value, Decimal | date | time) else value


def main() -> None:
    source = f"genai-prices {version('genai-prices')}"
    book = imported(plain(providers), source, datetime.now(UTC).date())
    sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(book), indent=0) + b"\n")


if __name__ == "__main__":
    main()
