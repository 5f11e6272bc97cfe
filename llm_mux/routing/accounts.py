"""Accounts: a user's credential at a provider, with live state.

`Account` is one of the few mutable values; only `routing` changes it. Its secret never shows in a repr. What a failure
says about an account is a closed list (`FAULTS`); everything else, a client's own mistake above all, says nothing.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal
from urllib.parse import quote

from msgspec import Struct

from llm_mux import log
from llm_mux.auth.base import Credential, OAuth
from llm_mux.errors import POLICY, Kind, MuxError
from llm_mux.providers.base import Login, Provider
from llm_mux.providers.quota import Window, Windows
from llm_mux.routing.breaker import ACCOUNT, Breaker, State

PASSTHROUGH = "!PASSTHRU"
NEARLY_SPENT = 0.98
_KEY_REFUSED = (Kind.UPSTREAM_AUTH, Kind.UPSTREAM_FORBIDDEN, Kind.LOGIN_NEEDED)
_SAFE_S = 30.0
_SKEW_S = 300.0
_LONG_S = 600.0
_FORGOTTEN_S = 3600.0
_SHORTEST_SECRET = 4
_MOST_WINDOWS = 64
_EWMA = 0.3
_LIVE = {"live": True}
_OF_THE_KEY = (*_KEY_REFUSED, Kind.RATE_LIMIT, Kind.QUOTA)
FAULTS: Mapping[Kind, Literal["account", "model", "trip"]] = {
    Kind.UPSTREAM_AUTH: "account",
    Kind.UPSTREAM_FORBIDDEN: "account",
    Kind.UPSTREAM_MODEL: "model",
    Kind.RATE_LIMIT: "model",
    Kind.QUOTA: "model",
    **{kind: "trip" for kind, policy in POLICY.items() if policy.trips},
}
"""What a failure is about: the whole account, one model of it, or (`trip`) it only counts for the breaker."""


class Speed(Struct):
    """Seconds to the first content, as a moving average, and when it was last measured."""

    seconds: float
    at: float


@dataclass(slots=True)
class Session:
    """The login behind an account's key: its credential as it is now, and how the next one is got.

    `base` is the provider before the credential was applied to it. `due` is when the token should be renewed, `over`
    when it can no longer be sent (epoch seconds). `problem`: why only a new login helps. `again_at`: no renewal is
    tried before, `tries` failed in a row.
    """

    login: Login
    oauth: OAuth
    credential: Credential
    base: Provider
    problem: str = field(default="", compare=False)
    again_at: float = field(default=0.0, compare=False)
    tries: int = field(default=0, compare=False)
    due: float = field(init=False)
    over: float = field(init=False)

    def __post_init__(self) -> None:
        token = self.credential
        if token.expires is None:
            self.due = self.over = float("inf")
            return
        life = max(token.expires - token.obtained, 0.0)
        # A token is used for half of its life at least. Those of many accounts do not come due in the same moment.
        lead = min(self.oauth.lead_s, life / 2)
        drawn = hashlib.blake2b(token.access.encode(), digest_size=2).digest()
        self.due = token.expires - lead * (1 + 0.1 * int.from_bytes(drawn) / 65536)
        self.over = token.expires - min(_SAFE_S, life / 10)

    def before(self, now: float) -> bool:
        """Whether the clock was set back behind the moment the token came, so that its end says nothing."""
        return self.credential.expires is not None and now < self.credential.obtained - _SKEW_S

    def provider(self) -> Provider:
        """The provider as an account with this credential uses it."""
        return self.base if self.login.applied is None else self.login.applied(self.base, self.credential)

    def same_login(self, other: Session | None) -> bool:
        """Whether both are logins of the same person in the same way at the same place."""
        if other is None:
            return False
        mine, theirs = self.credential, other.credential
        return (
            self.base == other.base
            and mine.way == theirs.way
            and (mine.id, mine.email) == (theirs.id, theirs.email)
            and bool(mine.id or mine.email or mine.refresh == theirs.refresh)
        )


Sign = Callable[[str, str, Mapping[str, str], bytes | None], Awaitable[dict[str, str]]]
"""Method, URL, headers and body of a request to its headers with a signature."""


@dataclass(slots=True, eq=False)
class Account:
    """`provider` is already the configured one (its id, base URL and formats). `key` "" where none is needed.
    `first_byte_s` replaces the general wait for the head of an answer, `most` is how many exchanges it takes at once.
    `sign` where requests are signed.
    `session` is the login that the key comes from, where it comes from one.

    `breakers` has one for every model id (or "" for all of them) that something is known against: none in good times.
    `windows` are the quotas that the provider told of, read last at `noticed`; `low` maps a scope to the time until
    which one is nearly spent. `speeds` are by model. `inflight` counts exchanges to their end, `promised`
    those that are about to begin and have waited for it. `refuses` remembers the
    top-level parameters that a model answered 400 to. `memo` is the gateway's, for what does not change from request
    to request. Fields marked `_LIVE` outlast a new reading of the configuration (`carried_over`); the others are facts
    that it states anew.
    """

    provider: Provider
    label: str
    key: str = field(default="", repr=False)
    proxy_url: str | None = None
    weight: float = 1.0
    priority: int = 0
    first_byte_s: float | None = None
    most: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    session: Session | None = field(default=None, repr=False)
    sign: Sign | None = None
    breakers: dict[str, Breaker] = field(default_factory=dict, metadata=_LIVE)
    windows: dict[tuple[str, str], Window] = field(default_factory=dict, metadata=_LIVE)
    low: dict[str, float] = field(default_factory=dict, metadata=_LIVE)
    speeds: dict[str, Speed] = field(default_factory=dict, metadata=_LIVE)
    refuses: dict[str, frozenset[str]] = field(default_factory=dict, metadata=_LIVE)
    last_error: str | None = field(default=None, metadata=_LIVE)
    memo: dict[object, Any] = field(default_factory=dict, repr=False, metadata=_LIVE)
    inflight: int = field(default=0, metadata=_LIVE)
    promised: int = field(default=0, metadata=_LIVE)
    noticed: float = field(default=-1.0, metadata=_LIVE)

    @property
    def name(self) -> str:
        return f"{self.provider.name}/{self.label}"

    def is_still(self, fresh: Account) -> bool:
        """Whether `fresh` is this account: the same place and the same key or login, so that what is known of it
        holds on."""
        if self.session is not None:
            return self.session.same_login(fresh.session)
        return self.provider == fresh.provider and self.key == fresh.key

    def restate(self, fresh: Account) -> None:
        """Takes the facts of `fresh`, and forgets what the gateway derived from the old ones if any is another."""
        changed = [name for name in _FACTS if getattr(self, name) != getattr(fresh, name)]
        for name in changed:
            setattr(self, name, getattr(fresh, name))
        if "key" in changed:
            self._forgive()
        if changed:
            self.memo.clear()

    def renew(self, credential: Credential) -> None:
        """Goes on with the login's next credential. What was held against the old one is forgotten."""
        session = self.session
        assert session is not None
        self.session = Session(session.login, session.oauth, credential, session.base)
        self.key, self.provider = credential.access, self.session.provider()
        self.memo.clear()
        self._forgive()

    def needs_login(self, message: str) -> None:
        """Only a new login helps: it is not asked any more until there is one."""
        if self.session is not None:
            self.session.problem = message
        self.last_error = f"{Kind.LOGIN_NEEDED.value}: {message}"
        self.breakers[""] = Breaker(until=math.inf, probe_at=math.inf, reason=Kind.LOGIN_NEEDED)

    def _forgive(self) -> None:
        """Another key: the refusals of the old one say nothing about it."""
        if self.refused:
            del self.breakers[""]
            self.last_error = None

    def ready_at(self, model: str, now: float) -> float:
        """When `model` may be asked here: 0 when it may be now."""
        if not self.breakers:
            return 0.0
        found = [each.ready_at(now) for scope in ("", model) if (each := self.breakers.get(scope)) is not None]
        return max(found, default=0.0)

    @property
    def full(self) -> bool:
        return self.most is not None and self.inflight + self.promised >= self.most

    def nearly_spent(self, model: str, now: float) -> bool:
        """Whether a quota of it is so nearly used up that another account is the better choice."""
        return bool(self.low) and max(self.low.get("", 0.0), self.low.get(model, 0.0)) > now

    def reason(self, model: str, now: float) -> Kind | None:
        """Why `model` is not asked here, the longest rest first."""
        open_ = [each for scope in ("", model) if (each := self.breakers.get(scope)) is not None and each.ready_at(now)]
        return max(open_, key=lambda breaker: breaker.ready_at(now)).reason if open_ else None

    def lacks(self, model: str, now: float) -> bool:
        """Whether it rests only because the provider said that it has no such model."""
        breaker, whole = self.breakers.get(model), self.breakers.get("")
        lacking = breaker is not None and breaker.reason is Kind.UPSTREAM_MODEL
        return lacking and (whole is None or not whole.ready_at(now))

    @property
    def refused(self) -> bool:
        """Whether its key was refused or only a new login helps: waiting does not."""
        breaker = self.breakers.get("")
        return breaker is not None and breaker.reason in _KEY_REFUSED

    def state(self, now: float) -> str:
        """`ready`, `resting`, or `login needed`; `now` is monotonic seconds."""
        whole = self.breakers.get("")
        if whole is not None and whole.reason is Kind.LOGIN_NEEDED:
            return "login needed"
        return "resting" if any(breaker.state(now) is State.OPEN for breaker in self.breakers.values()) else "ready"

    def enter(self, model: str, now: float) -> None:
        """An attempt begins."""
        self.inflight += 1
        if self.breakers:
            for scope in ("", model):
                if (breaker := self.breakers.get(scope)) is not None:
                    breaker.enter(now)

    def failed(self, model: str, error: MuxError, now: float) -> None:
        """Takes note of a failure, if it was this account's: rests as the error table and the provider's hint say."""
        fault = FAULTS.get(error.kind)
        if fault is None or (self.key == PASSTHROUGH and error.kind in _OF_THE_KEY):
            # A key that was the client's own: nobody else's requests have to wait for it.
            return
        self.last_error = f"{error.kind.value}: {error.message}"
        if error.kind is Kind.UPSTREAM_FORBIDDEN and model and model in error.message:
            fault = "model"
        breaker = self._breaker("" if fault == "account" else model, now)
        policy = error.policy
        if error.retry_after is not None:
            breaker.rest(now, error.retry_after, error.kind)
        elif fault == "trip":
            breaker.failed(now, ACCOUNT, error.kind)
        else:
            breaker.rest(now, breaker.grown(now, policy.cooldown_s) if policy.grows else policy.cooldown_s, error.kind)

    def _breaker(self, scope: str, now: float) -> Breaker:
        found = self.breakers.get(scope)
        if found is None:
            # Names of models come from clients: what is long over makes room for what is new.
            over = [s for s, b in self.breakers.items() if b.until is not None and now > b.until + _FORGOTTEN_S]
            for each in over:
                del self.breakers[each]
            found = self.breakers[scope] = Breaker()
        return found

    def succeeded(self, model: str, now: float, began: float) -> bool:
        """A good answer to what began at `began` ends every rest of this account and model; whether there was one."""
        if not self.breakers:
            return False
        ended = False
        for scope in ("", model):
            breaker = self.breakers.get(scope)
            if breaker is not None:
                was_closed = breaker.until is None
                if breaker.succeeded(now, began, ACCOUNT):
                    del self.breakers[scope]
                ended = ended or (not was_closed and breaker.until is None)
        if not self.breakers:
            self.last_error = None
        return ended

    def clear(self, model: str | None = None) -> list[str]:
        """Ends rests by hand, all of them or a model's; the scopes that were cleared."""
        scopes = list(self.breakers) if model is None else [scope for scope in (model,) if scope in self.breakers]
        for scope in scopes:
            del self.breakers[scope]
            self.low.pop(scope, None)
        # Somebody knows better: nothing that spoke for the rest may bring it back.
        self.windows = {place: window for place, window in self.windows.items() if place[0] not in scopes}
        return scopes

    def notice(self, model: str, windows: Windows, now: float, unix: float) -> float | None:
        """Takes note of the quotas that an answer told of; a spent one rests until it begins anew. Seconds until then
        (`now` monotonic, `unix` the same moment), None when nothing is spent."""
        longest: float | None = None
        windows = tuple(window for window in windows if window.family in model)
        low = {("" if window.scope == "account" else model): 0.0 for window in windows}
        if len(self.windows) + len(windows) > _MOST_WINDOWS:
            self.windows.clear()
        for window in windows:
            scope = "" if window.scope == "account" else model
            self.windows[scope, window.name] = window
            wait = 0.0 if window.resets_at is None else window.resets_at - unix
            if wait <= 0:
                continue
            if window.spent:
                self._breaker(scope, now).rest(now, wait, Kind.QUOTA if wait > _LONG_S else Kind.RATE_LIMIT)
                longest = max(wait, longest or 0.0)
            if not window.soft and (window.used or 0.0) >= NEARLY_SPENT:
                low[scope] = max(now + wait, low[scope])
        for scope, until in low.items():
            if until:
                self.low[scope] = until
            else:
                self.low.pop(scope, None)
        return longest

    def recall(self, scope: str, window: Window, now: float, unix: float) -> None:
        """Puts a window back that an earlier process was told of. Rests are kept by themselves."""
        self.windows[scope, window.name] = window
        wait = 0.0 if window.resets_at is None else window.resets_at - unix
        if wait > 0 and not window.soft and (window.used or 0.0) >= NEARLY_SPENT:
            self.low[scope] = max(now + wait, self.low.get(scope, 0.0))

    def timed(self, model: str, seconds: float, now: float) -> None:
        """The first content took so long."""
        known = self.speeds.get(model)
        if known is None:
            if len(self.speeds) >= _MOST_WINDOWS:
                self.speeds.clear()
            self.speeds[model] = Speed(seconds, now)
        else:
            known.seconds += _EWMA * (seconds - known.seconds)
            known.at = now

    def learn(self, model: str, parameter: str) -> None:
        """`model` answered 400 to a top-level parameter: it is left out from now on."""
        self.refuses[model] = self.refuses.get(model, frozenset()) | {parameter}

    def secrets(self) -> Iterator[str]:
        """Everything of it that nobody may see."""
        named = dict(self.headers)
        if self.key != PASSTHROUGH:
            yield self.key
        if self.session is not None:
            credential = self.session.credential
            yield from (credential.access, credential.refresh, credential.client_secret)
            named |= credential.extra
        for name, value in log.redact(named).items():
            if value == log.MASK:
                yield from (named[name], named[name].rpartition(" ")[2])


def without_secrets(accounts: Iterable[Account], text: str) -> str:
    """What somebody said without anything of the accounts that is secret: servers repeat what they were sent, and one
    server may know what was meant for another."""
    found = {secret for account in accounts for secret in account.secrets() if len(secret) >= _SHORTEST_SECRET}
    for secret in sorted(found, key=len, reverse=True):
        for form in (secret, quote(secret, safe="")):
            text = text.replace(form, log.MASK)
    return log.redact_text(text)


_FACTS = tuple(each.name for each in fields(Account) if not each.metadata.get("live"))


def carried_over(fresh: Iterable[Account], before: Iterable[Account]) -> list[Account]:
    """`fresh`, with every account that was there before in its old object: live state and all, with the new facts."""
    known = {account.name: account for account in before}
    accounts = []
    for account in fresh:
        old = known.pop(account.name, None)
        if old is not None and old.is_still(account):
            old.restate(account)
            accounts.append(old)
        else:
            accounts.append(account)
    return accounts
