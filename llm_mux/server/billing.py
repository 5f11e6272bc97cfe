"""`GET /billing/balance` and `/billing/transactions`: what whoever asks has, and what became of it.

Rule: a caller sees its own account only. Amounts are exact decimals, written as JSON numbers.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Mapping
from decimal import Decimal
from typing import TypeVar

import msgspec
from aiohttp import web
from msgspec import Struct

from llm_mux.errors import Kind, MuxError, bad_request
from llm_mux.ledger.balances import Balances, Transaction, usd
from llm_mux.ledger.database import reason
from llm_mux.server.answers import answered
from llm_mux.server.serving import DAEMON
from llm_mux.server.usage import PATIENCE_S

T = TypeVar("T")
USUAL_PAGE = 10
LARGEST_PAGE = 100
_FARTHEST = 2**31 - 1
_WHOLE = re.compile(r"-?[0-9]{1,12}")
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


@answered
async def balance(request: web.Request) -> web.StreamResponse:
    """The caller's balance."""
    user, balances = await _account(request)
    return _json(Balance(user, _exact(await _read(balances.balance(user, time.time())))))


@answered
async def transactions(request: web.Request) -> web.StreamResponse:
    """The caller's transactions, newest first."""
    limit = _number(request.query, "limit", USUAL_PAGE, least=1, most=LARGEST_PAGE)
    offset = _number(request.query, "offset", 0, least=0, most=_FARTHEST)
    user, balances = await _account(request)
    # Someone who is new gets the initial balance first, as a transaction.
    await _read(balances.balance(user, time.time()))
    page, total = await _read(balances.transactions(user, limit=limit, offset=offset))
    shown = [
        msgspec.structs.replace(each, amount=_exact(each.amount), balance_after=_exact(each.balance_after))
        for each in page
    ]
    return _json(Page(user, shown, limit, offset, total))


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


def _number(query: Mapping[str, str], name: str, usual: int, *, least: int, most: int) -> int:
    """A whole number of the query. Raises MuxError BAD_REQUEST for anything else."""
    given = query.get(name)
    if given is None:
        return usual
    number = int(given) if _WHOLE.fullmatch(given) else None
    if number is None or not least <= number <= most:
        raise bad_request(f"`{name}` must be a whole number from {least} to {most}.", param=name)
    return number


def _json(value: Struct) -> web.Response:
    return web.Response(body=_ENCODER.encode(value), content_type="application/json")


def _exact(amount: Decimal) -> Decimal:
    """The same amount without the zeros that say nothing."""
    return Decimal(usd(amount))
