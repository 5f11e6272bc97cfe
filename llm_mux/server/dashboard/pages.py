"""What the dashboard answers over HTTP: the page, and its files for good or to be asked for again.

Rule: the page runs what comes from here and nothing else (`_POLICY`): no script or style within it, nothing from
another host, in no frame. Nothing here tells anything of the user, so that signing in is up to the management API.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from llm_mux.server.answers import open_endpoint
from llm_mux.server.dashboard.files import PAGE, ROOT, File, found, site

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "font-src 'self'",
        "manifest-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_FOR_GOOD = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"


def add_routes(app: web.Application) -> None:
    app.router.add_get(ROOT + "/{path:.+}", asset)


def for_a_browser(request: web.Request) -> bool:
    """Whether a person looks at what `/` answers."""
    return "text/html" in request.headers.get("Accept", "").lower()


@open_endpoint
async def page(request: web.Request) -> web.StreamResponse:
    """The dashboard's page."""
    await asyncio.to_thread(site)
    return await _answer(request, found(PAGE), _ASK_AGAIN, "Accept, Accept-Encoding")


@open_endpoint
async def asset(request: web.Request) -> web.StreamResponse:
    """A file of the dashboard; below the digest that the page names it may be kept for good."""
    digest, _, path = request.match_info["path"].partition("/")
    current = await asyncio.to_thread(site)
    # A page from before an upgrade gets what there is now, and is told nothing about later.
    kept = _FOR_GOOD if digest == current.digest else _ASK_AGAIN
    return await _answer(request, found(path), kept, "Accept-Encoding")


async def _answer(request: web.Request, file: File, kept: str, vary: str) -> web.Response:
    coding = file.coding(request.headers.get("Accept-Encoding", ""))
    tag = f'"{file.tag}-{coding}"' if coding else f'"{file.tag}"'
    headers = {**_HEADERS, "ETag": tag, "Cache-Control": kept, "Vary": vary}
    if _has(request.headers.get("If-None-Match", ""), tag):
        return web.Response(status=304, headers=headers)
    body = await asyncio.to_thread(file.coded, coding)
    headers["Content-Type"] = file.media
    if coding:
        headers["Content-Encoding"] = coding
    return web.Response(body=body, headers=headers)


def _has(known: str, tag: str) -> bool:
    return known.strip() == "*" or any(each.strip().removeprefix("W/") == tag for each in known.split(","))
