"""The books over the management API: usage in groups, as JSON or CSV, balances and credit."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from decimal import Decimal
from typing import Annotated, Literal, TypeVar

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from llm_mux import log
from llm_mux.errors import Kind, MuxError, bad_request
from llm_mux.ledger.balances import Balances, MoneyProblem, Transaction, usd
from llm_mux.ledger.database import reason
from llm_mux.ledger.report import Only
from llm_mux.ledger.rows import LONGEST_TEXT
from llm_mux.server import usage, usage_csv
from llm_mux.server.management.endpoint import Call, Endpoint

T = TypeVar("T")
Name = Annotated[str, Meta(max_length=LONGEST_TEXT)]
Text = Annotated[str, Meta(min_length=1, max_length=LONGEST_TEXT)]


class Question(usage.Asked, frozen=True, forbid_unknown_fields=True):
    """As `usage.Asked`; `model`, `provider`, `account`, `key` (names) and `user` narrow it, `then_by` parts each group
    again. `format` not given: CSV for who accepts `text/csv`, else JSON."""

    then_by: Literal["model", "account", "provider", "client_key", "key", "user", "protocol"] | None = None
    model: Name | msgspec.UnsetType = msgspec.UNSET
    provider: Name | msgspec.UnsetType = msgspec.UNSET
    account: Name | msgspec.UnsetType = msgspec.UNSET
    key: Name | msgspec.UnsetType = msgspec.UNSET
    user: Name | msgspec.UnsetType = msgspec.UNSET
    format: Literal["json", "csv"] | None = None


class Of(Struct, frozen=True, forbid_unknown_fields=True):
    user: Text
    limit: Annotated[int, Meta(ge=1, le=500)] = 50
    offset: Annotated[int, Meta(ge=0, le=2**40)] = 0


class Change(Struct, frozen=True):
    """One change of a balance; what was spent is negative. `timestamp` is ISO 8601 in UTC."""

    id: str
    user: str
    amount: str
    description: str
    timestamp: str
    balance_after: str


class Statement(Struct, frozen=True):
    """Amounts are US dollars as text, exact. Transactions are newest first."""

    user: str
    balance: str
    transactions: list[Change]
    total: int


class Credit(Struct, frozen=True, forbid_unknown_fields=True):
    """`amount` is US dollars, not 0; a negative one takes money away."""

    user: Text
    amount: Annotated[str, Meta(pattern=r"^-?[0-9]{1,6}(\.[0-9]{1,12})?$")]
    description: Annotated[str, Meta(max_length=LONGEST_TEXT)] = "credit"


class Listed(Struct, frozen=True, forbid_unknown_fields=True):
    """`like`: a part of the users' names."""

    like: Name = ""
    limit: Annotated[int, Meta(ge=1, le=500)] = 50
    offset: Annotated[int, Meta(ge=0, le=2**40)] = 0


class Purse(Struct, frozen=True):
    user: str
    balance: str


class Purses(Struct, frozen=True):
    """Users by name; `enabled`: whether requests are held against balances, `initial`: what who is new has."""

    enabled: bool
    initial: str
    users: list[Purse]
    total: int


async def _usage(call: Call) -> usage.Report | web.Response:
    given = msgspec.to_builtins(call.query)
    given["client_key"] = given.get("key")
    only = Only(**{name: given.get(name) for name in Only.__struct_fields__})
    question = usage.question(call.query, usage.today())
    if (then_by := call.query.then_by) is not None:
        question = msgspec.structs.replace(question, then_by="client_key" if then_by == "key" else then_by)
    report = await usage.answer(call.daemon.parts, question, only)
    return _as_csv(report, question.then_by) if wants_csv(call) else report


def wants_csv(call: Call) -> bool:
    wanted: str | None = call.query.format
    accepted = call.request.headers.get("Accept", "").partition(",")[0].partition(";")[0].strip().lower()
    return wanted == "csv" or (wanted is None and accepted == usage_csv.MEDIA)


def _as_csv(report: usage.Report, then_by: str | None) -> web.Response:
    headers = {"Content-Disposition": f'attachment; filename="{usage_csv.file_name(report)}"', "Vary": "Accept"}
    text = usage_csv.written(report, then_by)
    return web.Response(text=text, content_type=usage_csv.MEDIA, charset="utf-8", headers=headers)


def _balances(call: Call) -> Balances:
    return call.daemon.parts.till.balances


async def _statement(call: Call) -> Statement:
    wanted, balances = call.query, _balances(call)
    await call.daemon.parts.writer.catch_up(usage.PATIENCE_S)
    # Who was never here would have the initial balance; looking gives it to nobody.
    known = await _told(balances.known(wanted.user))
    balance = balances.initial if known is None else known
    found, total = await _told(balances.transactions(wanted.user, limit=wanted.limit, offset=wanted.offset))
    return Statement(wanted.user, usd(balance), [_change(each) for each in found], total)


def _change(made: Transaction) -> Change:
    after = usd(made.balance_after)
    return Change(made.id, made.user_id, usd(made.amount), made.description, made.timestamp, after)


async def _listed(call: Call) -> Purses:
    wanted, balances = call.query, _balances(call)
    await call.daemon.parts.writer.catch_up(usage.PATIENCE_S)
    found, total = await _told(balances.listed(limit=wanted.limit, offset=wanted.offset, like=wanted.like))
    users = [Purse(user, usd(balance)) for user, balance in found]
    return Purses(call.daemon.admission.billing, usd(balances.initial), users, total)


async def _credit(call: Call) -> Change:
    wish: Credit = call.body
    amount = Decimal(wish.amount)
    made = await _told(_balances(call).credit(wish.user, amount, wish.description, time.time()))
    log.logger.info("balance.credited", user=wish.user, amount=str(amount))
    return _change(made)


async def _told(asked: Awaitable[T]) -> T:
    """What the books answer. An amount that cannot be is the caller's mistake, a silent database is not."""
    try:
        return await asked
    except MoneyProblem as error:
        raise bad_request(f"{str(error)[:1].upper()}{str(error)[1:]}.") from None
    except Exception as error:
        message = f"The books cannot be read just now: {reason(error)}."
        raise MuxError(Kind.NO_TARGET, message, retry_after=2.0, code="books_unavailable") from error


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/usage",
        summary="Requests, tokens and cost of a stretch of days, in groups",
        more="`days`, or `from` and `to` (UTC, both included). `group_by` is day, hour, model, account, provider, "
        "key, user or protocol; `then_by`, one of these but no period, parts each group again; `model`, "
        "`provider`, `account`, `key` and `user` look at some only. CSV with `format=csv` or `Accept: text/csv`.",
        handle=_usage,
        query=Question,
        answer=usage.Report,
        also=usage_csv.MEDIA,
        errors=(503,),
    ),
    Endpoint(
        method="GET",
        path="/billing/balances",
        summary="Users with their balances",
        more="By name; `like` is a part of it. Also whether balances count, and what who is new has.",
        handle=_listed,
        query=Listed,
        answer=Purses,
        errors=(503,),
    ),
    Endpoint(
        method="GET",
        path="/billing",
        summary="A user's balance and transactions",
        handle=_statement,
        query=Of,
        answer=Statement,
        errors=(503,),
    ),
    Endpoint(
        method="POST",
        path="/billing/credit",
        summary="Give a user money, or take it",
        more="A negative `amount` takes money away.",
        handle=_credit,
        body=Credit,
        answer=Change,
        errors=(503,),
    ),
)
