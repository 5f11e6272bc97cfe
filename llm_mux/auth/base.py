"""The vocabulary of logins: the steps that a flow yields, what it is sent for each, and what it ends with.

A flow is a generator. It yields steps (`Call`, `Sleep`, `Show`, `Browse`, `Listen`, `Receive`, `Ask`, `Confirm`), is
sent the reply of each, and returns a `Credential` or raises `LoginError`. The command line, the management API and the
tests drive the same generators.

Rule: no I/O, no clock and no randomness here or in any flow: the time comes with the replies (`Reply.at`, the reply of
`Sleep`) and with `Wish`, which brings the randomness too. No secret shows in a repr.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Any, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """An HTTP request, without redirects. Reply: `Reply`. Raises `LoginError` into the flow when nobody answers."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a `Call` was answered. `headers` have lower-case names; `at` is epoch seconds when it came."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    at: float


class Sleep(Struct, frozen=True):
    """Wait. Reply: the time afterwards, in epoch seconds."""

    seconds: float


class Show(Struct, frozen=True):
    """Tell the person something. Reply: None."""

    text: str


class Browse(Struct, frozen=True):
    """Open `url` in a browser, or show it where there is none; `code` is to be typed there. Reply: None."""

    url: str
    code: str = ""


@dataclass(frozen=True, slots=True)
class Listen:
    """Listen on loopback for the browser's return to `path` with `state`; port 0: any. Only a request with this state
    counts, every other is refused and changes nothing. Reply: the port, None when it cannot be had."""

    port: int
    path: str
    state: str = field(repr=False)


class Receive(Struct, frozen=True):
    """Wait for the browser's return or for what the person pastes, whichever is first. Reply: `Returned` or `Pasted`;
    None when nothing came in time."""

    prompt: str
    timeout_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Returned:
    """The query of the browser's return; its state has been checked."""

    query: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Pasted:
    """What the person pasted, unchecked."""

    text: str = field(repr=False)


class Ask(Struct, frozen=True):
    """Ask the person for a line. Reply: the text, stripped."""

    prompt: str
    secret: bool = False


class Confirm(Struct, frozen=True):
    """Ask the person for yes or no. Reply: a bool."""

    question: str


Step: TypeAlias = Call | Sleep | Show | Browse | Listen | Receive | Ask | Confirm
Steps: TypeAlias = Generator[Step, Any, T]


class LoginError(Exception):
    """A login or refresh that did not work, in words for the user, without a secret.

    `code` is the server's OAuth error code. `final`: trying again is useless, the person has to log in again.
    `retry_after` is in seconds.
    """

    def __init__(self, message: str, *, code: str = "", final: bool = False, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.final = final
        self.retry_after = retry_after


class Credential(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", omit_defaults=True):
    """What a login leaves: all of it goes to the secret store and nowhere else.

    `access` is what is sent with requests; `refresh` what gets the next one ("": none). `expires` and `obtained` are
    epoch seconds; `expires` None: no known end. `id` is the provider's stable id of the account; `email` also holds a
    login name where there is no address. `way` names the `Login` that made it. `client_id` and `client_secret` are
    kept where the user brought the OAuth client. `extra`: what else the provider's own functions need (project,
    device id, address), all text.
    """

    access: str
    refresh: str = ""
    expires: float | None = None
    obtained: float = 0.0
    way: str = ""
    id: str = ""
    email: str = ""
    plan: str = ""
    client_id: str = ""
    client_secret: str = ""
    extra: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"Credential({self.way or 'unnamed'}, {self.email or self.id or 'no identity'})"

    def with_extra(self, **more: str) -> Credential:
        return msgspec.structs.replace(self, extra={**self.extra, **more})


Flow: TypeAlias = Steps[Credential]


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuth:
    """What the generic flows have to know of a provider's login. Empty: it has none of that.

    `redirect_host` goes into the redirect URI (the listener is on 127.0.0.1 and ::1 whatever it says);
    `redirect_port` 0: any port; `fixed_port`: the provider takes no other. `authorize_extra`, `token_extra`,
    `refresh_extra` and `device_extra` are parameters beside those of the RFCs. `body`: how token requests are written;
    `state_in_token`: the exchange repeats the state. `client_auth`: how a client secret is shown. `refresh_scopes`
    None: none are sent. `lead_s`: how long before the end a token is renewed. `poll_s` and `device_s`: the least
    seconds between two polls and the longest wait for a device code. `final`: error codes of a refresh after which
    only a new login helps, beside `invalid_grant`. `addresses`: where else the provider's own steps go, by their names.
    """

    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    issuer: str = ""
    authorize_url: str = ""
    token_url: str = ""
    device_url: str = ""
    revoke_url: str = ""
    userinfo_url: str = ""
    jwks_url: str = ""
    scopes: tuple[str, ...] = ()
    redirect_host: str = "127.0.0.1"
    redirect_port: int = 0
    redirect_path: str = "/callback"
    fixed_port: bool = False
    authorize_extra: Mapping[str, str] = field(default_factory=dict)
    token_extra: Mapping[str, str] = field(default_factory=dict)
    refresh_extra: Mapping[str, str] = field(default_factory=dict)
    device_extra: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Literal["form", "json"] = "form"
    client_auth: Literal["client_secret_post", "client_secret_basic"] = "client_secret_post"
    state_in_token: bool = False
    refresh_scopes: tuple[str, ...] | None = None
    lead_s: float = 300.0
    poll_s: float = 5.0
    device_s: float = 900.0
    final: frozenset[str] = frozenset()
    addresses: Mapping[str, str] = field(default_factory=dict)


class Wish(Struct, frozen=True, kw_only=True):
    """What the person wants of a login, and what a flow may not make itself.

    `now` is epoch seconds; `token(n)` gives URL-safe text from n random bytes. `port` None: the provider's own.
    `extra` holds what only some ways want, by option name: project.
    """

    now: float
    token: Callable[[int], str]
    port: int | None = None
    extra: Mapping[str, str] = msgspec.field(default_factory=dict)


Settings: TypeAlias = Mapping[str, Any]
_SETTABLE = {each.name.replace("_", "-"): each for each in fields(OAuth)}


def overridden(oauth: OAuth, settings: Settings) -> OAuth:
    """`oauth` as the `oauth:` mapping of a configuration entry changes it.

    Lists may be written as text with spaces. Raises ValueError in words for the user.
    """
    changes: dict[str, Any] = {}
    for key, value in settings.items():
        if key not in _SETTABLE:
            near = get_close_matches(str(key), _SETTABLE, n=1)
            raise ValueError(f"oauth: there is no `{key}`" + (f"; did you mean `{near[0]}`?" if near else ""))
        changes[_SETTABLE[key].name] = _setting(key, value, getattr(oauth, _SETTABLE[key].name))
    return replace(oauth, **changes)


_WORDS = {"body": ("form", "json"), "client-auth": ("client_secret_post", "client_secret_basic")}


def _setting(key: str, value: Any, usual: Any) -> Any:
    """`value` in the type of the fact that it replaces."""
    if key in _WORDS:
        if value not in _WORDS[key]:
            raise ValueError(f"oauth.{key} must be {' or '.join(_WORDS[key])}")
        return value
    if key in ("scopes", "refresh-scopes", "final"):
        words = value.split() if isinstance(value, str) else value
        if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
            raise ValueError(f"oauth.{key} must be a list of words")
        return frozenset(words) if key == "final" else tuple(words)
    if isinstance(usual, bool):
        if not isinstance(value, bool):
            raise ValueError(f"oauth.{key} must be true or false")
        return value
    if isinstance(usual, int | float):
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise ValueError(f"oauth.{key} must be a number")
        return type(usual)(value)
    if isinstance(usual, Mapping):
        if not isinstance(value, Mapping):
            raise ValueError(f"oauth.{key} must be a mapping")
        return {str(name): str(each) for name, each in value.items()}
    if not isinstance(value, str):
        raise ValueError(f"oauth.{key} must be text")
    return value
