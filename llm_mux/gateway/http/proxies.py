"""Through which proxy a call goes: its own, else the environment's, but never to this machine."""

from __future__ import annotations

import urllib.request
from functools import lru_cache
from urllib.parse import urlsplit

from llm_mux.gateway.upstream import Call


class Proxies:
    """The proxies of the environment as they were when it was made."""

    __slots__ = ("_known",)

    def __init__(self, *, environment: bool = True) -> None:
        self._known = tuple(sorted(urllib.request.getproxies().items())) if environment else ()

    def of(self, call: Call) -> str | None:
        """The URL of the proxy for `call`; None for a direct connection."""
        if call.proxy is not None:
            return None if call.proxy == "direct" else call.proxy
        return _environment_proxy(call.url, self._known) if self._known else None


@lru_cache(maxsize=512)
def _environment_proxy(url: str, proxies: tuple[tuple[str, str], ...]) -> str | None:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in ("localhost", "127.0.0.1", "::1") or urllib.request.proxy_bypass(host):
        return None
    known = dict(proxies)
    return known.get(parts.scheme) or known.get("all")
