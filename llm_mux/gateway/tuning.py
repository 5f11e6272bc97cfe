"""What the user wants of a model's requests: values for parameters that a client left out, and values that always hold.

Rule: they go into the body that the provider gets, in the provider's own format, and nothing else of it changes. What
the model is known to refuse is not put in again. Costs nothing where nothing is configured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from llm_mux.gateway.plan import Plan
from llm_mux.wire import jsonx


class Tuning(Struct, frozen=True):
    """For the models that `pattern` fits (`provider/model`, with wildcards). `context` in tokens, None: as listed."""

    pattern: str
    defaults: Mapping[str, Any]
    overrides: Mapping[str, Any]
    context: int | None = None


Tunings = Sequence[Tuning]


def tuning_of(provider: str, model: str, tunings: Tunings) -> Tuning | None:
    """The one with the longest pattern that fits."""
    name = f"{provider}/{model}"
    fitting = [each for each in tunings if fnmatchcase(name, each.pattern)]
    return max(fitting, key=lambda each: len(each.pattern), default=None)


def tuned(plan: Plan, tunings: Tunings) -> Plan:
    """The plan with what the user wants of the model's requests."""
    tuning = tuning_of(plan.account.provider.name, plan.model, tunings)
    if tuning is None:
        return plan
    present = jsonx.top(plan.body)
    refused = plan.account.refuses.get(plan.model, frozenset())
    edits: dict[str, bytes | None] = {}
    for key in (tuning.defaults.keys() | tuning.overrides.keys()) - refused:
        merged = _merged(present.get(key), tuning.defaults.get(key, _ABSENT), tuning.overrides.get(key, _ABSENT))
        if merged is not None:
            edits[key] = merged
    return replace(plan, body=jsonx.splice(plan.body, dict(sorted(edits.items())))) if edits else plan


_ABSENT = object()


def _merged(given: Raw | None, default: object, override: object) -> bytes | None:
    """The value for the body, None when that of the client stays. Objects are merged key by key."""
    value = _ABSENT if given is None else msgspec.json.decode(given)
    found = _over(_over(default, value), override)
    return None if found is _ABSENT or found == value else msgspec.json.encode(found)


def _over(below: object, above: object) -> object:
    if above is _ABSENT:
        return below
    if isinstance(below, Mapping) and isinstance(above, Mapping):
        return {key: _over(below.get(key, _ABSENT), above.get(key, _ABSENT)) for key in [*below, *above]}
    return above
