"""What `/metrics` tells about accounts that were logged in to: how they are, and how renewing their tokens went."""

from __future__ import annotations

import time
from collections import Counter

from llm_mux.gateway.credentials import Credentials
from llm_mux.server.metrics import Labels, Reading


def readings(credentials: Credentials) -> list[Reading]:
    """Read at each scrape."""

    def accounts() -> dict[Labels, float]:
        now = time.monotonic()
        states = Counter((a.provider.name, a.state(now)) for a in credentials.accounts)
        return {labels: float(count) for labels, count in states.items()}

    def refreshes() -> dict[Labels, float]:
        return {labels: float(count) for labels, count in credentials.refreshes.items()}

    return [
        Reading("llm_mux_login_accounts", "Accounts with a login by state", accounts, ("provider", "state")),
        Reading(
            "llm_mux_login_refreshes",
            "Renewals of tokens by outcome: ok, adopted (by another process), failed, login_needed",
            refreshes,
            ("provider", "outcome"),
            "counter",
        ),
    ]
