"""All routes of the management API. A new one is an `Endpoint` in the `ENDPOINTS` of a module that stands here."""

from __future__ import annotations

from aiohttp import web

from llm_mux.server.management import (
    accounts,
    catalogue,
    endpoint,
    exchanges,
    history,
    keys,
    logins,
    logs,
    routing,
    settings,
    signing_in,
    usage,
)

GROUPS = {
    "Configuration": settings.ENDPOINTS,
    "Accounts": accounts.ENDPOINTS,
    "Logins": logins.ENDPOINTS,
    "Keys of clients": keys.ENDPOINTS,
    "Providers and models": catalogue.ENDPOINTS,
    "Routing": routing.ENDPOINTS,
    "Exchanges": (*exchanges.ENDPOINTS, *history.ENDPOINTS),
    "Usage and balances": usage.ENDPOINTS,
    "The log": logs.ENDPOINTS,
    "Signing in": signing_in.ENDPOINTS,
}
"""By what they are about, in the order of the documentation."""
ENDPOINTS = tuple(each for group in GROUPS.values() for each in group)


def add_routes(app: web.Application) -> None:
    endpoint.add_routes(app, ENDPOINTS)
