"""Which provider serves a model name: catalogue, prefixes, accounts, aliases and thinking suffixes. Pure.

Order: an exact match in the catalogue, an alias, the name without its thinking suffix, an alias with a wildcard, a
provider prefix (`p://m`, `p:m`, `p/m`, `p@account://m`), an alias inside the name, the providers whose models begin
like that, the default provider. A full model id that a provider really has is never rewritten; one that it excludes is
never asked for.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase

from msgspec import Struct

from llm_mux.errors import Kind, MuxError
from llm_mux.ir import EFFORTS
from llm_mux.routing.aliases import MOST, circle, inside, is_wildcard
from llm_mux.translators.base import ModelInfo

_MARKS = frozenset(":/")


class Route(Struct, frozen=True):
    """A provider (by id), the model id it knows, the account label if one was named, and a thinking suffix."""

    provider: str
    model: str
    account: str | None = None
    effort: str | None = None
    budget: int | None = None


Shorts = Callable[[Mapping[str, ModelInfo]], dict[str, str]]


class Offer(Struct, frozen=True):
    """What one provider offers. `listed` is its model list (own ids); `renamed` maps a client's name to an own id.

    `vendor` is the registered provider's name, `others` its short names, `resells` vendors whose models it has, for
    whom `vendor://model` stands where they are not configured themselves; `owns` beginnings of surely own ids.
    `shorts` makes more of these from the list. `excluded` are wildcards on own ids. `only_listed`: the configuration
    fixed the list. `tentative`: a server that may not be running; it counts once it has listed a model.
    """

    provider: str
    vendor: str = ""
    others: tuple[str, ...] = ()
    resells: tuple[str, ...] = ()
    listed: dict[str, ModelInfo] = {}
    renamed: dict[str, str] = {}
    shorts: Shorts | None = None
    owns: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    only_listed: bool = False
    tentative: bool = False

    @property
    def there(self) -> bool:
        return not self.tentative or bool(self.listed)

    def excludes(self, model: str) -> bool:
        return any(fnmatchcase(model, pattern) for pattern in self.excluded)

    def has(self, model: str) -> str | None:
        """The own id for a name that this provider surely has."""
        own = self.renamed.get(model) or (model if model in self.listed else None)
        return None if own is None or self.excludes(own) else own

    def answers_to(self, prefix: str) -> bool:
        return bool(prefix) and (prefix in (self.provider, self.vendor) or prefix in self.others)


class Catalog(Struct, frozen=True):
    """All offers in the order of the configuration."""

    offers: tuple[Offer, ...] = ()
    aliases: dict[str, str] = {}
    default_provider: str | None = None

    def resolve(self, name: str) -> tuple[Route, ...]:
        """Every provider that `name` may go to, best first. Raises MuxError MODEL_NOT_FOUND or NO_TARGET."""
        if not self.offers:
            raise MuxError(Kind.NO_TARGET, _NO_PROVIDER)
        routes = self._routes(name.removeprefix("models/"))
        if routes:
            return routes
        raise self.unknown(name)

    def knows(self, name: str) -> bool:
        """Whether `name` resolves without asking any provider for its list."""
        return bool(self._routes(name.removeprefix("models/"), guess=False))

    def unknown(self, name: str) -> MuxError:
        return MuxError(Kind.MODEL_NOT_FOUND, self._why(name), param="model", code="model_not_found")

    def _why(self, name: str) -> str:
        """What is wrong with a name that leads nowhere, and the nearest ones that do not."""
        if trail := circle(name, self.aliases):
            return f"The aliases go in a circle: {' -> '.join(trail)}."
        if (aliased := self.aliases.get(name)) is not None:
            return f"The alias `{name}` stands for `{aliased}`, which does not exist at any configured provider."
        head, forced, _ = name.partition("://")
        prefix = head.partition("@")[0]
        if forced and not any(offer.answers_to(prefix) or prefix in offer.resells for offer in self.offers):
            there = ", ".join(offer.provider for offer in self.offers)
            return f"The model `{name}` does not exist: no provider `{prefix}` is configured. There is: {there}."
        folded = {known.lower(): known for known in reversed(self.names())}
        near = [folded[each] for each in difflib.get_close_matches(name.lower(), folded, n=3, cutoff=0.5)]
        hint = f"Nearest: {', '.join(near)}." if near else "`llm-mux models` lists what there is."
        return f"The model `{name}` does not exist at any configured provider. {hint}"

    def names(self) -> list[str]:
        """Every name a client may use without a prefix, in a stable order."""
        found: dict[str, None] = dict.fromkeys(alias for alias in self.aliases if not is_wildcard(alias))
        for offer in self.offers:
            found.update((name, None) for name, own in offer.renamed.items() if not offer.excludes(own))
            found.update((name, None) for name in offer.listed if not offer.excludes(name))
        return list(found)

    def _routes(self, name: str, *, guess: bool = True, steps: int = 0) -> tuple[Route, ...]:
        """`steps`: how many aliases led here."""
        if exact := self._exact(name, self.offers):
            return exact
        if steps > MOST:
            return ()
        if (aliased := self.aliases.get(name)) is not None:
            return self._routes(aliased, guess=guess, steps=steps + 1)
        if "://" in name and (prefixed := self._prefixed(name)):
            return prefixed
        bare, effort, budget = thinking_suffix(name)
        if bare != name:
            inner = self._routes(bare, guess=guess, steps=steps)
            return tuple(_with_thinking(route, effort, budget) for route in inner)
        if not steps and (aliased := self._wildcard(name)) is not None:
            return self._routes(aliased, guess=guess, steps=1)
        if prefixed := self._prefixed(name):
            return prefixed
        able = [offer for offer in self.offers if not offer.only_listed and not offer.excludes(name)]
        owning = [offer for offer in able if _owns(offer, name)]
        # Where an owner's list is not known the name may well be one that it has, and such are never rewritten.
        if guess and not steps and all(offer.listed for offer in owning) and (aliased := self._inside(name)):
            return self._routes(aliased, guess=guess, steps=1)
        return tuple(Route(offer.provider, name) for offer in owning) or (self._guess(name) if guess else ())

    def _exact(self, name: str, offers: Iterable[Offer]) -> tuple[Route, ...]:
        return tuple(Route(offer.provider, own) for offer in offers if (own := offer.has(name)) is not None)

    def _wildcard(self, name: str) -> str | None:
        """What the longest alias with a wildcard that fits `name` stands for. `p://m` is never rewritten."""
        if "://" in name:
            return None
        fitting = [alias for alias in self.aliases if is_wildcard(alias) and fnmatchcase(name, alias)]
        return self.aliases[max(fitting, key=len)] if fitting else None

    def _inside(self, name: str) -> str | None:
        """What the longest alias that stands in `name` stands for; one that is a model's own name is none."""
        alias = inside(name, (each for each in self.aliases if not self._exact(each, self.offers)))
        return None if alias is None else self.aliases[alias]

    def _prefixed(self, name: str) -> tuple[Route, ...]:
        for mark in ("://", ":", "/"):
            head, found, rest = name.partition(mark)
            if not found or not rest.strip("/"):
                continue
            provider, _, account = head.partition("@")
            offers = [offer for offer in self.offers if offer.answers_to(provider)]
            if not offers and mark == "://":
                offers = [offer for offer in self.offers if provider in offer.resells]
            if offers:
                forced = [self._forced(offer, rest, account or None) for offer in offers]
                return tuple(
                    route for offer, route in zip(offers, forced, strict=True) if not offer.excludes(route.model)
                )
        return ()

    def _forced(self, offer: Offer, model: str, account: str | None) -> Route:
        bare, effort, budget = thinking_suffix(model)
        own = offer.has(model)
        if own is None and bare != model:
            return Route(offer.provider, offer.has(bare) or bare, account, effort, budget)
        return Route(offer.provider, own or model, account)

    def _guess(self, name: str) -> tuple[Route, ...]:
        able = [o for o in self.offers if not o.only_listed and not o.excludes(name)]
        if self.default_provider is not None:
            able = [offer for offer in able if offer.provider == self.default_provider]
            return tuple(Route(offer.provider, name) for offer in able)
        unlisted = [offer for offer in able if not offer.listed]
        return (Route(unlisted[0].provider, name),) if len(self.offers) == 1 and unlisted else ()


def _owns(offer: Offer, name: str) -> bool:
    """Whether `name` begins like the offer's own ids. One with `:` or `/` is some other host's copy of a model
    (`qwen3-coder:30b`, `deepseek-ai/DeepSeek-V3`) unless the beginning has such a mark too or is a vendor with a dot
    (Bedrock's `anthropic.`)."""
    plain = not _MARKS.intersection(name)
    return any(name.startswith(own) and (plain or own[-1] == "." or _MARKS.intersection(own)) for own in offer.owns)


_NO_PROVIDER = (
    "No provider is configured. Run `llm-mux login gemini --api-key` (or another provider), set a key such as "
    "OPENAI_API_KEY before `llm-mux serve`, or try `llm-mux serve --demo`."
)


def thinking_suffix(name: str) -> tuple[str, str | None, int | None]:
    """`model(8192)` and `model(high)` taken apart: name, effort word, budget. Anything else is left alone."""
    if not name.endswith(")") or "(" not in name:
        return name, None, None
    bare, _, inner = name[:-1].rpartition("(")
    if inner in EFFORTS:
        return bare, inner, None
    if inner == "auto":
        return bare, None, -1
    return (bare, None, int(inner)) if inner.isascii() and inner.isdigit() else (name, None, None)


def fallbacks_of(name: str, models: Iterable[str], chains: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The names that may stand in for `name`: those of the chain for it, for it without its thinking suffix, or for
    one of the model ids that it leads to. A thinking suffix goes along to those that have none."""
    bare, effort, budget = thinking_suffix(name)
    found = next((chains[each] for each in (name, bare, *models) if each in chains), ())
    if effort is None and budget is None:
        return found
    suffix = name[len(bare) :]
    return tuple(each if each.endswith(")") else each + suffix for each in found)


def _with_thinking(route: Route, effort: str | None, budget: int | None) -> Route:
    return Route(route.provider, route.model, route.account, effort, budget)
