"""Accounts: a user's credential at a provider, with live state.

`Account` is one of the few mutable values; only `routing` changes it. Its secret never shows in a repr.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from llm_mux.auth.base import Credential, OAuth
from llm_mux.errors import POLICY, Kind, MuxError, Policy
from llm_mux.providers.base import Login, Provider

PASSTHROUGH = "!PASSTHRU"
_LONGEST_GROWN_S = 1800.0
_KEY_REFUSED = (Kind.UPSTREAM_AUTH, Kind.UPSTREAM_FORBIDDEN, Kind.LOGIN_NEEDED)
_SAFE_S = 30.0
_SKEW_S = 300.0
_LIVE = {"live": True}
_OF_THE_KEY = (*_KEY_REFUSED, Kind.RATE_LIMIT, Kind.QUOTA)


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
    `first_byte_s` replaces the general wait for the head of an answer. `sign` where requests are signed.

    `session` is the login that the key comes from, where it comes from one.

    `rests` maps a model id (or "" for all) to the time until which it is not asked; `failures` counts refusals in
    a row; `reasons` says why it rests. `refuses` remembers the top-level parameters that a model answered 400 to.
    `memo` is the gateway's, for what does not change from request to request. Fields marked `_LIVE` outlast a new
    reading of the configuration (`carried_over`); the others are facts that it states anew.
    """

    provider: Provider
    label: str
    key: str = field(default="", repr=False)
    proxy_url: str | None = None
    weight: float = 1.0
    priority: int = 0
    first_byte_s: float | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    session: Session | None = field(default=None, repr=False)
    sign: Sign | None = None
    rests: dict[str, float] = field(default_factory=dict, metadata=_LIVE)
    reasons: dict[str, Kind] = field(default_factory=dict, metadata=_LIVE)
    failures: dict[str, int] = field(default_factory=dict, metadata=_LIVE)
    refuses: dict[str, frozenset[str]] = field(default_factory=dict, metadata=_LIVE)
    last_error: str | None = field(default=None, metadata=_LIVE)
    memo: dict[object, Any] = field(default_factory=dict, repr=False, metadata=_LIVE)
    inflight: int = field(default=0, metadata=_LIVE)

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
        self.rests[""], self.reasons[""] = float("inf"), Kind.LOGIN_NEEDED

    def _forgive(self) -> None:
        """Another key: the refusals of the old one say nothing about it."""
        if self.reasons.get("") in _KEY_REFUSED:
            del self.reasons[""]
            self.rests.pop("", None)
            self.last_error = None

    def rest_until(self, model: str) -> float:
        """When `model` may be asked again here; 0 when it may be now."""
        return max(self.rests.get("", 0.0), self.rests.get(model, 0.0)) if self.rests else 0.0

    def lacks(self, model: str) -> bool:
        """Whether it rests only because the provider said that it has no such model."""
        return self.reasons.get(model) is Kind.UPSTREAM_MODEL and "" not in self.rests

    @property
    def refused(self) -> bool:
        """Whether it rests because its key was refused: waiting does not help."""
        return self.reasons.get("") in _KEY_REFUSED

    def state(self, now: float) -> str:
        """`ready`, `resting`, or `login needed`; `now` is monotonic seconds, as in `rests`."""
        if self.reasons.get("") is Kind.LOGIN_NEEDED:
            return "login needed"
        return "resting" if any(until > now for until in self.rests.values()) else "ready"

    def failed(self, model: str, error: MuxError, now: float) -> None:
        """Takes note of a failure that was this account's: rests as the error table and the provider's hint say."""
        policy = error.policy
        if self.key == PASSTHROUGH and error.kind in _OF_THE_KEY:
            # The key was the client's own: nobody else's requests have to wait for it.
            return
        self.last_error = f"{error.kind.value}: {error.message}"
        if policy.cooldown_s == 0:
            return
        scope = "" if error.kind in _KEY_REFUSED else model
        until = now + (self._grown(model, policy, now) if error.retry_after is None else error.retry_after)
        self._forget_what_is_over(now)
        # Of several refusals at the same time the longest counts.
        if until > self.rests.get(scope, now):
            self.rests[scope] = until
            self.reasons[scope] = error.kind

    def _grown(self, model: str, policy: Policy, now: float) -> float:
        """Seconds of rest without a hint. A growing one grows once a rest: requests that were under way when it
        began say nothing new."""
        if not policy.grows:
            return policy.cooldown_s
        count = self.failures.get(model, 0)
        if self.rests.get(model, 0.0) <= now or count == 0:
            count = self.failures[model] = count + 1
        return min(policy.cooldown_s * 2.0 ** min(count - 1, 20), _LONGEST_GROWN_S)

    def _forget_what_is_over(self, now: float) -> None:
        for scope in [scope for scope, until in self.rests.items() if until <= now]:
            del self.rests[scope]
            self.reasons.pop(scope, None)

    def succeeded(self, model: str) -> None:
        """A good answer ends every rest of this account and model."""
        if self.rests or self.failures:
            for scope in ("", model):
                self.rests.pop(scope, None)
                self.reasons.pop(scope, None)
            self.failures.pop(model, None)
            self.last_error = None

    def learn(self, model: str, parameter: str) -> None:
        """`model` answered 400 to a top-level parameter: it is left out from now on."""
        self.refuses[model] = self.refuses.get(model, frozenset()) | {parameter}


def punishes(kind: Kind) -> bool:
    """Whether a failure says something about the account at all."""
    policy = POLICY[kind]
    return policy.try_next or policy.trips


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
