"""What of the routes and accounts a client key reaches. Pure.

Rule: a key learns only that it may not, never what else is there.
"""

from __future__ import annotations

from collections.abc import Sequence

from llm_mux.auth.scopes import Scopes
from llm_mux.errors import Kind, MuxError
from llm_mux.routing.accounts import Account
from llm_mux.routing.catalog import Route


def out_of_reach(asked: str) -> MuxError:
    """What a client is told about a model that its key may not use."""
    message = f"This API key may not use the model `{asked}`."
    return MuxError(Kind.FORBIDDEN, message, code="model_not_allowed", param="model")


def reached(
    routes: Sequence[Route], accounts: Sequence[Account], scopes: Scopes, asked: str
) -> tuple[list[Route], list[Account]]:
    """The routes and accounts that are left for a key that asked for `asked`. Raises MuxError FORBIDDEN when the scopes
    leave none."""
    kept = [r for r in routes if scopes.provider(r.provider) and scopes.model(asked, r.provider, r.model)]
    if not kept:
        raise out_of_reach(asked)
    providers = {route.provider for route in kept}
    mine = [account for account in accounts if scopes.account(account.provider.name, account.label)]
    if not any(a.provider.name in providers for a in mine) and any(a.provider.name in providers for a in accounts):
        raise MuxError(
            Kind.FORBIDDEN, f"This API key may use no account that has `{asked}`.", code="account_not_allowed"
        )
    return kept, mine
