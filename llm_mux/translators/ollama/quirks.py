"""How servers that speak Ollama's API differ from the newest official one."""

from __future__ import annotations

from msgspec import Struct


class Quirks(Struct, frozen=True):
    """The defaults are the official API."""

    # Off for hosts that size the context themselves (Ollama's cloud).
    set_num_ctx: bool = True
    # Servers before `think` took words know only true and false: an empty tuple; some releases lack "max".
    think_levels: tuple[str, ...] = ("low", "medium", "high", "max")


_OFFICIAL = Quirks()


def of(quirks: object) -> Quirks:
    """The target's quirks, the official API's when it names none."""
    return quirks if isinstance(quirks, Quirks) else _OFFICIAL
