"""All routes of the management API. A new one is an `Endpoint` in the `ENDPOINTS` of a module that stands here."""

from __future__ import annotations

from aiohttp import web

from llm_mux.server.management import (
    accounts,
    catalogue,
    endpoint,
    exchanges,
    keys,
    logins,
    logs,
    routing,
    settings,
    signing_in,
    usage,
)

ENDPOINTS = (
    *signing_in.ENDPOINTS,
    *settings.ENDPOINTS,
    *logs.ENDPOINTS,
    *accounts.ENDPOINTS,
    *logins.ENDPOINTS,
    *keys.ENDPOINTS,
    *catalogue.ENDPOINTS,
    *routing.ENDPOINTS,
    *exchanges.ENDPOINTS,
    *usage.ENDPOINTS,
)


def add_routes(app: web.Application) -> None:
    endpoint.add_routes(app, ENDPOINTS)
