"""`GET /billing/balance` and `/billing/transactions`: what whoever asks has, and what became of it.

Rule: a caller sees its own account only. Amounts are exact decimals, written as JSON numbers.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable
from decimal import Decimal
from typing import Annotated, TypeVar

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from llm_mux.errors import Kind, MuxError
from llm_mux.ledger.balances import Balances, Transaction, usd
from llm_mux.ledger.database import reason
from llm_mux.server.answers import answered
from llm_mux.server.described import asked, told
from llm_mux.server.serving import DAEMON
from llm_mux.server.usage import PATIENCE_S

T = TypeVar("T")
USUAL_PAGE = 10
LARGEST_PAGE = 100
_FARTHEST = 2**31 - 1
_ENCODER = msgspec.json.Encoder(decimal_format="number")


class Balance(Struct, frozen=True):
    """What a user has, in US dollars."""

    user_id: str
    balance: Decimal


class Page(Struct, frozen=True):
    """Some of a user's transactions, newest first; `total` is how many there are."""

    user_id: str
    transactions: list[Transaction]
    limit: int
    offset: int
    total: int


def add_routes(app: web.Application) -> None:
    app.router.add_get("/billing/balance", balance)
    app.router.add_get("/billing/transactions", transactions)


class Paged(Struct, frozen=True):
    limit: Annotated[int, Meta(ge=1, le=LARGEST_PAGE)] = USUAL_PAGE
    offset: Annotated[int, Meta(ge=0, le=_FARTHEST)] = 0


@answered
@told(answer=Balance, errors=(404, 503))
async def balance(request: web.Request) -> web.StreamResponse:
    """The caller's balance."""
    user, balances = await _account(request)
    return _json(Balance(user, _exact(await _read(balances.balance(user, time.time())))))


@answered
@told(query=Paged, answer=Page, errors=(404, 503))
async def transactions(request: web.Request) -> web.StreamResponse:
    """The caller's transactions, newest first."""
    wanted = asked(request, Paged)
    user, balances = await _account(request)
    # Someone who is new gets the initial balance first, as a transaction.
    await _read(balances.balance(user, time.time()))
    page, total = await _read(balances.transactions(user, limit=wanted.limit, offset=wanted.offset))
    shown = [
        msgspec.structs.replace(each, amount=_exact(each.amount), balance_after=_exact(each.balance_after))
        for each in page
    ]
    return _json(Page(user, shown, wanted.limit, wanted.offset, total))


async def _account(request: web.Request) -> tuple[str, Balances]:
    daemon = request.app[DAEMON]
    if not daemon.admission.billing:
        message = "No balances are kept here: set `billing: {enabled: true}` to keep them."
        raise MuxError(Kind.NOT_FOUND, message, code="billing_disabled")
    caller = await daemon.guard.caller(request.headers, request.query.get("key"))
    await daemon.parts.writer.catch_up(PATIENCE_S)
    return caller.user_id, daemon.parts.till.balances


async def _read(answer: Awaitable[T]) -> T:
    try:
        return await answer
    except Exception as error:
        message = f"Balances cannot be read now: {reason(error)}."
        raise MuxError(Kind.NO_TARGET, message, retry_after=1.0, code="billing_unavailable") from None


def _json(value: Struct) -> web.Response:
    return web.Response(body=_ENCODER.encode(value), content_type="application/json")


def _exact(amount: Decimal) -> Decimal:
    """The same amount without the zeros that say nothing."""
    return Decimal(usd(amount))
