"""Other names for models, beyond the exact ones: inside a longer name, and out of the environment. Pure.

Rule: a name that a provider really has, or that names its provider with `://`, is never rewritten.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

MOST = 10
"""How many aliases may follow one another."""
_SHORTEST = 3
_VARIABLE = re.compile(r"(?P<provider>[A-Z0-9_]+?)_ALIAS_(?P<name>[A-Z0-9_]+)")


def is_wildcard(alias: str) -> bool:
    return "*" in alias or "?" in alias


def inside(name: str, aliases: Iterable[str]) -> str | None:
    """The longest alias that stands somewhere in `name`, whatever the case (`haiku` in `Claude-Haiku-4.5`). Aliases of
    one or two letters would stand in everything and count only exactly."""
    if "://" in name:
        return None
    folded = name.lower()
    found = [each for each in aliases if len(each) >= _SHORTEST and not is_wildcard(each) and each.lower() in folded]
    return max(found, key=len, default=None)


def from_environment(env: Mapping[str, str], providers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The aliases in variables such as `ANTHROPIC_ALIAS_FAST=claude-haiku-4-5`: `fast` at that provider. `providers`
    are ids with their registered names; an id counts before a name, and `_` in an alias is a `-`."""
    ids: dict[str, str] = {}
    known = list(providers)
    for id, _ in known:
        ids.setdefault(_variable(id), id)
    for id, vendor in known:
        ids.setdefault(_variable(vendor), id)
    found: dict[str, str] = {}
    for name in sorted(env):
        match = _VARIABLE.fullmatch(name)
        target = env[name].strip()
        if match is not None and target and match["provider"] in ids:
            alias = match["name"].lower().replace("_", "-")
            found.setdefault(alias, target if "://" in target else f"{ids[match['provider']]}://{target}")
    return found


def _variable(name: str) -> str:
    return re.sub(r"[^A-Z0-9]", "_", name.upper())


def circle(name: str, aliases: Mapping[str, str]) -> list[str] | None:
    """The aliases that lead from `name` back to one of themselves, None when they lead to an end within bounds."""
    trail = [name]
    while trail[-1] in aliases:
        following = aliases[trail[-1]]
        trail.append(following)
        if following in trail[:-1]:
            return trail
        if len(trail) > MOST + 1:
            return None
    return None
