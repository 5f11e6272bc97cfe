"""What is known of hosts and retries beside the accounts' own state; it outlasts a new reading of the configuration.

A host is a provider as it is reached through one proxy: when it cannot be reached at all, none of its accounts can.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from llm_mux.errors import Kind
from llm_mux.routing.accounts import Account
from llm_mux.routing.breaker import PROVIDER, Breaker
from llm_mux.routing.retry import Budget

Host = tuple[str, str | None]
Hosts = Mapping[Host, Breaker]
UNREACHED = frozenset({Kind.UNREACHABLE, Kind.CONNECT_TIMEOUT})


def host_of(account: Account) -> Host:
    return account.provider.name, account.proxy_url


class Standing(Struct):
    """`hosts` has a breaker for each that something is known against; `turn` counts choices, for those in turns."""

    hosts: dict[Host, Breaker] = field(default_factory=dict)
    budget: Budget = field(default_factory=Budget)
    turn: int = 0

    def reached(self, account: Account, now: float, began: float) -> bool:
        """Something came from the host; whether its breaker was open until then."""
        if not self.hosts or (breaker := self.hosts.get(host_of(account))) is None:
            return False
        was_open = breaker.until is not None
        if breaker.succeeded(now, began, PROVIDER):
            del self.hosts[host_of(account)]
        return was_open and breaker.until is None

    def unreached(self, account: Account, kind: Kind, now: float) -> None:
        self.hosts.setdefault(host_of(account), Breaker()).failed(now, PROVIDER, kind)
