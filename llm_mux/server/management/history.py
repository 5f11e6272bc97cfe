"""The rows of the books over the management API, one by one: who asked what of whom, how it ended, what it cost."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from llm_mux.ledger.entries import Outcome, Wanted, entries
from llm_mux.ledger.report import Only
from llm_mux.ledger.rows import LONGEST_TEXT
from llm_mux.server import usage, usage_csv
from llm_mux.server.management.endpoint import Call, Endpoint
from llm_mux.server.management.usage import wants_csv
from llm_mux.server.usage_rows import Row, told

Name = Annotated[str, Meta(max_length=LONGEST_TEXT)]


class Which(usage.Days, frozen=True, forbid_unknown_fields=True):
    """Days as for usage. `model` (the one that served), `provider`, `account`, `key` (names), `user`, `outcome` and
    `request` (an id) narrow it; `before` is the id of the last row that is known."""

    model: Name | msgspec.UnsetType = msgspec.UNSET
    provider: Name | msgspec.UnsetType = msgspec.UNSET
    account: Name | msgspec.UnsetType = msgspec.UNSET
    key: Name | msgspec.UnsetType = msgspec.UNSET
    user: Name | msgspec.UnsetType = msgspec.UNSET
    outcome: Outcome | None = None
    request: Name | None = None
    before: Annotated[int, Meta(ge=1, le=2**62)] | None = None
    limit: Annotated[int, Meta(ge=1, le=5000)] = 100
    format: Literal["json", "csv"] | None = None


class Page(Struct, frozen=True):
    """Newest first. `next` is for `before`, None on the last page."""

    exchanges: list[Row]
    next: int | None


async def _page(call: Call) -> Page | web.Response:
    which: Which = call.query
    given = msgspec.to_builtins(which)
    first, last = usage.stretch(which, usage.today())
    wanted = Wanted(
        first=first,
        last=last,
        only=Only(**{name: given.get("key" if name == "client_key" else name) for name in Only.__struct_fields__}),
        outcome=which.outcome,
        request_id=which.request,
        before=which.before,
    )
    parts = call.daemon.parts
    found = await usage.from_books(parts, partial(entries, parts.database, wanted, which.limit + 1))
    rows = [told(entry) for entry in found[: which.limit]]
    if not wants_csv(call):
        return Page(rows, rows[-1].id if len(found) > which.limit else None)
    headers = {"Content-Disposition": f'attachment; filename="exchanges-{first}-{last}.csv"', "Vary": "Accept"}
    return web.Response(text=usage_csv.rows(rows), content_type=usage_csv.MEDIA, charset="utf-8", headers=headers)


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/exchanges",
        summary="Exchanges as they are in the books, newest first",
        more="For as long as `usage.retention-days` keeps them; of rare ones of long ago it takes a look at all that "
        "came after. `outcome` is ok, failed or cancelled. CSV with `format=csv` or `Accept: text/csv`.",
        handle=_page,
        query=Which,
        answer=Page,
        also=usage_csv.MEDIA,
        errors=(503,),
    ),
)
