"""Client keys over the management API. A key itself is in one answer, the one that makes it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace

from llm_mux import log
from llm_mux.auth.scopes import Scopes, written
from llm_mux.errors import Kind, MuxError, bad_request
from llm_mux.ledger.balances import Spent, usd
from llm_mux.ledger.database import reason
from llm_mux.ledger.keys import ClientKey, KeyProblem, KeyTable
from llm_mux.ledger.rows import LONGEST_TEXT
from llm_mux.server.management.endpoint import Call, Done, Endpoint
from llm_mux.server.usage import PATIENCE_S

T = TypeVar("T")
_YEAR_9000 = 221_845_392_000.0
Text = Annotated[str, Meta(min_length=1, max_length=LONGEST_TEXT)]
When = Annotated[float, Meta(gt=0, lt=_YEAR_9000)]


class Spending(Struct, frozen=True):
    """What a key has spent of its budgets this day and this month in UTC, US dollars as text."""

    day: str
    month: str


class Shown(Struct, frozen=True, kw_only=True):
    """A key without itself. `source` is database or configuration; times are ISO 8601 in UTC. `spent` is there in
    lists, of keys with a budget."""

    id: str
    name: str
    state: str
    source: str
    hint: str = ""
    user: str | None = None
    scopes: dict[str, Any] = {}
    created: str | None = None
    expires: str | None = None
    revoked: str | None = None
    spent: Spending | None = None
    key: str | None = None


class Listing(Struct, frozen=True):
    keys: list[Shown]


class Every(Struct, frozen=True, forbid_unknown_fields=True):
    """`all`: revoked and expired keys too."""

    all: bool = False


class Wish(Struct, frozen=True, forbid_unknown_fields=True):
    """A key that is called `name`. One of that name (or id) gets these scopes and this end (unix seconds, null: none),
    and keeps those that are not given; else a new one is made. `rotate` gives it a new secret, and the former works for
    `grace` seconds more."""

    name: Text
    user: Text | None = None
    scopes: Scopes | UnsetType = UNSET
    expires: When | UnsetType | None = UNSET
    rotate: bool = False
    grace: Annotated[float, Meta(ge=0, le=30 * 86_400)] = 0


class Which(Struct, frozen=True, forbid_unknown_fields=True):
    """The name or id of a key."""

    key: Text


async def _list(call: Call) -> Listing:
    now = time.time()
    await call.daemon.parts.writer.catch_up(PATIENCE_S)
    found = await _asked(call, lambda table: table.listed())
    spent = await _asked(call, lambda _: call.daemon.parts.till.balances.spent(now))
    shown = [
        replace(_shown(key, now), spent=_spending(key, spent))
        for key in found
        if call.query.all or key.state(now) == "active"
    ]
    for name in call.daemon.guard.fixed:
        shown.append(Shown(id=name, name=name, state="active", source="configuration"))
    return Listing(shown)


async def _put(call: Call) -> Shown:
    wish: Wish = call.body
    now = time.time()
    known = next((key for key in await _asked(call, lambda t: t.listed()) if _is(key, wish.name)), None)
    secret = None
    if known is None:
        if wish.expires and wish.expires <= now:
            raise bad_request("`expires` is over already: this key would open nothing.", param="expires")
        made, secret = await _asked(
            call,
            lambda table: table.create(
                wish.name, now=now, user=wish.user, scopes=wish.scopes or None, expires=wish.expires or None
            ),
        )
        log.logger.info("key.made", name=made.name, id=made.id)
        return _shown(made, now, secret)
    if wish.user is not None and wish.user != known.user:
        raise bad_request("The user of a key stays; make another key for another user.", param="user")
    given = {name: value for name in ("scopes", "expires") if (value := getattr(wish, name)) is not UNSET}
    made = await _asked(call, lambda table: table.change(known.id, lambda key: replace(key, **given)))
    if wish.rotate:
        made, secret = await _asked(call, lambda table: table.rotate(known.id, now=now, grace_s=wish.grace))
    log.logger.info("key.changed", name=made.name, id=made.id, rotated=wish.rotate)
    return _shown(made, now, secret)


def _is(key: ClientKey, named: str) -> bool:
    return key.revoked is None and named in (key.name, key.id)


async def scopes_of(call: Call, named: str) -> Scopes | None:
    """The scopes of the key of this name or id; None for one of the configuration, which may do everything."""
    if named in call.daemon.guard.fixed:
        return None
    found = next((key for key in await _asked(call, lambda t: t.listed()) if _is(key, named)), None)
    if found is None:
        message = f"There is no key `{named}`; `llm-mux keys list` shows them."
        raise MuxError(Kind.NOT_FOUND, message, param="key", code="unknown_key")
    return found.scopes


async def _revoke(call: Call) -> Done:
    gone = await _asked(call, lambda table: table.revoke(call.query.key, now=time.time()))
    log.logger.info("key.revoked", name=gone.name, id=gone.id)
    return Done(f"{gone.name} ({gone.id}) is revoked; it is refused from the next second on.")


async def _asked(call: Call, use: Callable[[KeyTable], Awaitable[T]]) -> T:
    """What the table answers. A wish that cannot be is the caller's mistake, a silent database is not."""
    try:
        return await use(call.daemon.parts.key_book.table)
    except KeyProblem as error:
        kind = Kind.NOT_FOUND if "there is no key" in str(error) else Kind.BAD_REQUEST
        raise MuxError(kind, f"{str(error)[:1].upper()}{str(error)[1:]}.") from None
    except Exception as error:
        message = f"The database does not answer: {reason(error)}."
        raise MuxError(Kind.NO_TARGET, message, retry_after=2.0, code="keys_unavailable") from error


def _shown(key: ClientKey, now: float, secret: str | None = None) -> Shown:
    return Shown(
        id=key.id,
        name=key.name,
        state=key.state(now),
        source="database",
        hint=key.hint,
        user=key.user,
        scopes=written(key.scopes),
        created=_iso(key.created),
        expires=_iso(key.expires),
        revoked=_iso(key.revoked),
        key=secret,
    )


def _spending(key: ClientKey, spent: Mapping[str, Spent]) -> Spending | None:
    if not key.scopes.budgeted:
        return None
    found = spent.get(key.id, Spent())
    return Spending(usd(found.day), usd(found.month))


def _iso(moment: float | None) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat()


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api-keys",
        summary="The keys of clients, without the keys themselves",
        more="`all=true`: revoked and expired ones too.",
        handle=_list,
        query=Every,
        answer=Listing,
        errors=(503,),
    ),
    Endpoint(
        method="PUT",
        path="/api-keys",
        summary="Make a key, or change the scopes and the end of one, or give it a new secret; a secret is shown once",
        more="`scopes` take the place of those that a key of this name has; what is not sent stays.",
        handle=_put,
        body=Wish,
        answer=Shown,
        errors=(404, 503),
    ),
    Endpoint(
        method="DELETE",
        path="/api-keys",
        summary="Revoke a key for good",
        more="`key` is a name or an id.",
        handle=_revoke,
        query=Which,
        answer=Done,
        errors=(404, 503),
    ),
)
