"""Settings that a running daemon cannot change: what they are, and how they stay as they run until a restart.

Rule: the schema says which they are (`restart`), nobody else.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from llm_mux.config.keys import keys_of
from llm_mux.config.schema import Section

S = TypeVar("S", bound=Section)


def as_running(fresh: S, running: S) -> tuple[S, tuple[str, ...]]:
    """`fresh` with those settings as in `running`, and the dotted names of the ones that differed."""
    kept: dict[str, object] = {}
    changed: list[str] = []
    for (name, key), attribute in zip(keys_of(type(fresh)).items(), fresh.__struct_fields__, strict=True):
        value, old = getattr(fresh, attribute), getattr(running, attribute)
        if value == old:
            continue
        if key.shape.extra.get("restart"):
            kept[attribute] = old
            changed.append(name)
        elif isinstance(value, Section):
            inner, names = as_running(value, old)
            if names:
                kept[attribute] = inner
                changed.extend(f"{name}.{each}" for each in names)
    return (msgspec.structs.replace(fresh, **kept) if kept else fresh), tuple(changed)
