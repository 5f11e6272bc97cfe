"""What became of one exchange, filled in along the way and written into the books once: by `Gateway.settle`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from llm_mux import ir
from llm_mux.errors import Kind, MuxError
from llm_mux.routing.accounts import Account

if TYPE_CHECKING:
    from llm_mux.gateway.core import Gateway


class Tried(NamedTuple):
    """One target that was asked and failed; `seconds` it took."""

    account: str
    model: str
    kind: Kind
    seconds: float


class Outcome(Struct):
    """What settle writes down; filled in along the way. `tried` are the attempts that failed, in order."""

    attempts: int = 0
    tried: tuple[Tried, ...] = ()
    account: Account | None = None
    model: str | None = None
    spliced: bool | None = None
    dropped: tuple[str, ...] = ()
    status: int = 200
    error: MuxError | None = None
    usage: ir.Usage | None = None
    finish: str | None = None
    first_byte: float | None = None
    settled: bool = False
    busy: tuple[Gateway, Account] | None = None

    def headers(self, request_id: str, prompt: int | str | None = None, output: int | str = 0) -> dict[str, str]:
        """What the client's answer says of it; `prompt` and `output`: the tokens, where they are known."""
        headers = {"X-Request-ID": request_id, "x-llm-mux-attempts": str(self.attempts)}
        if self.account is not None:
            provider, model = self.account.provider, self.model or ""
            headers["x-llm-mux-provider"] = provider.name
            headers["x-llm-mux-account"] = self.account.label
            headers["x-llm-mux-model"] = model
            if served := provider.served_header:
                headers[served] = model
        if self.dropped:
            headers["x-llm-mux-dropped"] = ",".join(self.dropped)
        if prompt is not None:
            headers["X-Token-Usage-Input"] = f"{prompt}"
            headers["X-Token-Usage-Output"] = f"{output}"
        return headers

    def failed(self, account: Account, model: str, error: MuxError, seconds: float) -> None:
        self.tried = (*self.tried, Tried(account.name, model, error.kind, seconds))

    def holds(self, gateway: Gateway, account: Account) -> None:
        """The account is busy with this exchange until `release`."""
        self.busy = gateway, account

    def release(self) -> None:
        if self.busy is not None:
            (gateway, account), self.busy = self.busy, None
            gateway.release(account)
