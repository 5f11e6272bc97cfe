"""Which account is asked, and in which order the others follow. Pure: time and the conversation are parameters.

Sticky by rendezvous hash: a conversation stays with one account while it can (the provider's prompt cache keeps
hitting), and losing or adding an account moves only the conversations that it served.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

from msgspec import Struct

from llm_mux.errors import Kind, MuxError
from llm_mux.routing.accounts import Account
from llm_mux.routing.catalog import Route


class Candidate(Struct, frozen=True):
    """One target: an account and the route that led to it."""

    account: Account
    route: Route


def order(routes: Sequence[Route], accounts: Sequence[Account], conversation: str, now: float) -> list[Candidate]:
    """Every target that may be asked now, best first. Raises MuxError when none may, saying when one will.

    Higher priority goes first; then routes keep their order (the configuration's), accounts of one have that of the
    rendezvous score.
    """
    able: list[Candidate] = []
    lacking: list[Candidate] = []
    resting: list[tuple[Account, float]] = []
    for route in routes:
        mine = [a for a in accounts if a.provider.name == route.provider and route.account in (None, a.label)]
        ready = [a for a in mine if a.rest_until(route.model) <= now]
        for account in mine:
            if account not in ready:
                resting.append((account, account.rest_until(route.model) - now))
                lacking.extend([Candidate(account, route)] if account.lacks(route.model) else [])
        if len(ready) > 1:
            ready.sort(key=lambda a: (-a.priority, -score(a, conversation)))
        able.extend(Candidate(account, route) for account in ready)
    if len(routes) > 1:
        able.sort(key=lambda candidate: -candidate.account.priority)
    if able or lacking:
        # Those that said "no such model" are better asked again than waited for: their own words reach the client.
        return able or lacking
    raise none_ready(routes, resting)


def score(account: Account, conversation: str) -> float:
    """The rendezvous score of an account for a conversation, weighted."""
    # A checksum will not do here: those of names of the same length differ by a constant, so shares come out uneven.
    drawn = hashlib.blake2b(f"{conversation}\x00{account.name}".encode("utf-8", "surrogatepass"), digest_size=6)
    draw = (int.from_bytes(drawn.digest()) + 1) / (2**48 + 1)
    return -account.weight / math.log(draw) if account.weight > 0 else 0.0


def _remedy(account: Account) -> str:
    """What brings an account back whose key or login was refused."""
    if account.session is not None and account.session.problem:
        return account.session.problem
    return f"The provider refused the key of {account.name}. Replace it: `llm-mux login {account.provider.name}`."


def none_ready(routes: Sequence[Route], resting: Sequence[tuple[Account, float]]) -> MuxError:
    """What the client is told when no account may be asked. `resting` are those of the routes, with seconds to go."""
    wanted = routes[0]
    if not resting:
        who = f"{wanted.provider}/{wanted.account}" if wanted.account else wanted.provider
        message = f"No account for `{wanted.model}` at {who}. Run `llm-mux login {wanted.provider}`."
        return MuxError(Kind.NO_TARGET, message)
    if all(account.refused for account, _ in resting):
        return MuxError(Kind.LOGIN_NEEDED, " ".join(dict.fromkeys(_remedy(account) for account, _ in resting)))
    wait = max(1.0, min(seconds for _, seconds in resting))
    message = (
        f"Every account that has `{wanted.model}` is resting after a refusal; the first is back in {math.ceil(wait)} s."
    )
    return MuxError(Kind.RATE_LIMIT, message, retry_after=wait, code="rate_limit_exceeded")
