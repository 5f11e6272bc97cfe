"""What `/metrics` tells about connections to providers: how many requests went out, and how few had to open one."""

from __future__ import annotations

from llm_mux.gateway.upstream import Upstream
from llm_mux.server.metrics import Labels, Reading


def of_the_upstream(upstream: Upstream) -> list[Reading]:
    """Read at each scrape."""

    def asked() -> dict[Labels, float]:
        return {(): upstream.asked} if upstream.asked else {}

    def dialled() -> dict[Labels, float]:
        return {(): upstream.dialled} if upstream.asked else {}

    opened = "Connections opened to providers; all other requests went over one that was there"
    return [
        Reading("llm_mux_upstream_requests", "Requests sent to providers", asked, kind="counter"),
        Reading("llm_mux_upstream_connections", opened, dialled, kind="counter"),
    ]
