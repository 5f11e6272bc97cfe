"""What can go wrong with an exchange, and what follows from it: one enum, one table, one exception.

Rule: whatever decides about retry, cooldown or a client's status reads `POLICY`; nobody else compares status codes.
The table is total (a test compares it with the enum). Numbers come from the operations page of the specification.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from msgspec import Struct


class Kind(Enum):
    """One kind of failure; the value is the stable word used in logs, metrics and the ledger."""

    BAD_REQUEST = "bad_request"
    CONTEXT_LENGTH = "context_length"
    TOO_LARGE = "too_large"
    UNSUPPORTED_MEDIA = "unsupported_media"
    CLIENT_AUTH = "client_auth"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    MODEL_NOT_FOUND = "model_not_found"
    METHOD = "method_not_allowed"
    CONFLICT = "conflict"
    BALANCE = "balance_exhausted"
    LIMITED = "client_rate_limit"
    POLICY = "content_policy"
    UPSTREAM_AUTH = "upstream_auth"
    UPSTREAM_FORBIDDEN = "upstream_forbidden"
    UPSTREAM_MODEL = "upstream_model"
    RATE_LIMIT = "rate_limit"
    QUOTA = "quota"
    OVERLOADED = "overloaded"
    UPSTREAM_ERROR = "upstream_error"
    UPSTREAM_NONSENSE = "upstream_nonsense"
    UPSTREAM_CUT = "upstream_cut"
    UNREACHABLE = "unreachable"
    CONNECT_TIMEOUT = "connect_timeout"
    FIRST_BYTE_TIMEOUT = "first_byte_timeout"
    IDLE_TIMEOUT = "idle_timeout"
    NO_TARGET = "no_target"
    LOGIN_NEEDED = "login_needed"
    CLIENT_GONE = "client_gone"
    DRAINING = "draining"
    INTERNAL = "internal"


class Policy(Struct, frozen=True):
    """What one kind of failure causes.

    `retry_same`: the same target may answer a second try. `try_next`: another account may do better.
    `cooldown_s`: rest of the account and model without a hint from the provider (0: none, the account is not at fault).
    `trips`: counts for the circuit breaker. `status`: HTTP status to the client. `grows`: the rest doubles each time.
    """

    retry_same: bool
    try_next: bool
    cooldown_s: float
    trips: bool
    status: int
    grows: bool = False


def _client(status: int) -> Policy:
    return Policy(retry_same=False, try_next=False, cooldown_s=0, trips=False, status=status)


POLICY: dict[Kind, Policy] = {
    Kind.BAD_REQUEST: _client(400),
    Kind.CONTEXT_LENGTH: _client(400),
    Kind.TOO_LARGE: _client(413),
    Kind.UNSUPPORTED_MEDIA: _client(415),
    Kind.CLIENT_AUTH: _client(401),
    Kind.FORBIDDEN: _client(403),
    Kind.NOT_FOUND: _client(404),
    Kind.MODEL_NOT_FOUND: _client(404),
    Kind.METHOD: _client(405),
    Kind.CONFLICT: _client(409),
    Kind.BALANCE: _client(402),
    Kind.LIMITED: _client(429),
    Kind.POLICY: _client(400),
    Kind.UPSTREAM_AUTH: Policy(retry_same=False, try_next=True, cooldown_s=1800, trips=False, status=502),
    Kind.UPSTREAM_FORBIDDEN: Policy(retry_same=False, try_next=True, cooldown_s=1800, trips=False, status=502),
    Kind.UPSTREAM_MODEL: Policy(retry_same=False, try_next=True, cooldown_s=43200, trips=False, status=404),
    Kind.RATE_LIMIT: Policy(retry_same=False, try_next=True, cooldown_s=1, trips=False, status=429, grows=True),
    Kind.QUOTA: Policy(retry_same=False, try_next=True, cooldown_s=1800, trips=False, status=429),
    Kind.OVERLOADED: Policy(retry_same=True, try_next=True, cooldown_s=0, trips=True, status=503),
    Kind.UPSTREAM_ERROR: Policy(retry_same=True, try_next=True, cooldown_s=0, trips=True, status=502),
    Kind.UPSTREAM_NONSENSE: Policy(retry_same=True, try_next=True, cooldown_s=0, trips=True, status=502),
    Kind.UPSTREAM_CUT: Policy(retry_same=True, try_next=True, cooldown_s=0, trips=True, status=502),
    Kind.UNREACHABLE: Policy(retry_same=True, try_next=True, cooldown_s=0, trips=True, status=502),
    Kind.CONNECT_TIMEOUT: Policy(retry_same=True, try_next=True, cooldown_s=0, trips=True, status=504),
    Kind.FIRST_BYTE_TIMEOUT: Policy(retry_same=False, try_next=True, cooldown_s=0, trips=True, status=504),
    Kind.IDLE_TIMEOUT: Policy(retry_same=False, try_next=True, cooldown_s=0, trips=True, status=504),
    Kind.NO_TARGET: _client(503),
    Kind.LOGIN_NEEDED: Policy(retry_same=False, try_next=True, cooldown_s=0, trips=False, status=503),
    Kind.CLIENT_GONE: _client(499),
    Kind.DRAINING: _client(503),
    Kind.INTERNAL: _client(500),
}


@dataclass(slots=True)
class MuxError(Exception):
    """A failure on its way to the client; every translator renders it in its own shape, whole and mid-stream.

    `message` is for the user: what, where, what to do. `status` is the upstream's HTTP status when there was one.
    `upstream` holds the upstream's error body and `owner` the translator that understands it, so that a client of the
    same format gets the original words. `retry_after` is in seconds.
    """

    kind: Kind
    message: str
    status: int | None = None
    code: str | None = None
    param: str | None = None
    retry_after: float | None = None
    owner: str | None = None
    upstream: bytes | None = None
    facts: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        Exception.__init__(self, self.message)

    def __str__(self) -> str:
        return self.message

    @property
    def policy(self) -> Policy:
        return POLICY[self.kind]

    @property
    def http_status(self) -> int:
        """The status for a client: the upstream's own for its 4xx that are the client's to mend, else the table's."""
        if self.kind in _CLIENTS_OWN and self.status is not None and 400 <= self.status < 500:
            return self.status
        return self.policy.status


_WORDS = {
    400: "validation_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    503: "service_error",
}


def flat(message: str, status: int) -> dict[str, object]:
    """`detail`, `code` and `error_type`: how clients of flat error bodies read a failure, beside any other shape."""
    word = _WORDS.get(status, "validation_error" if status < 500 else "server_error")
    return {"detail": message, "code": status, "error_type": word}


_CLIENTS_OWN = frozenset({Kind.BAD_REQUEST, Kind.CONTEXT_LENGTH, Kind.TOO_LARGE, Kind.POLICY})


def bad_request(message: str, *, param: str | None = None, code: str | None = None) -> MuxError:
    """The client's request cannot be formed or understood; `param` names the field."""
    return MuxError(Kind.BAD_REQUEST, message, param=param, code=code)


def refused(feature: str, target: str, *, param: str | None = None, url: str | None = None) -> MuxError:
    """Content that the target cannot take: refused clearly, never dropped in silence. `url`: it may take the bytes."""
    message = (
        f"{feature} cannot be sent to {target}: it has no form for it. Use a model that takes it, or leave it out."
    )
    facts = {} if url is None else {"by_url": url}
    return MuxError(Kind.BAD_REQUEST, message, param=param, code="unsupported_by_target", facts=facts)
