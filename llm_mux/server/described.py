"""What a route says of itself for `/openapi.json`: which parameters it reads, what it answers.

Rule: a handler reads its parameters through the type that it is described by (`asked`), and its answer is checked
against the described type by mypy, so that neither is written down twice.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from msgspec import Struct, field

from llm_mux.errors import bad_request

if TYPE_CHECKING:
    from aiohttp import web

JSON: Final = "application/json"
YAML: Final = "text/yaml"
TEXT: Final = "text/plain"
HTML: Final = "text/html"
Q = TypeVar("Q", bound=Struct)
_Handler = Callable[["web.Request"], Awaitable["web.StreamResponse"]]
_PLACE = re.compile(r"^(.*) - at `\$\.(\w+)`$")


class Anything(Struct, frozen=True):
    """No parameters; those that a client sends all the same are not looked at."""


class Told(Struct, frozen=True, kw_only=True):
    """`answers` are types of whole answers by their media type, None: described by their protocol. `also` are statuses
    with the same answer, `errors` those with an error."""

    query: type[Struct] = Anything
    answers: Mapping[str, Any] = field(default_factory=dict)
    also: tuple[int, ...] = ()
    errors: tuple[int, ...] = ()


def told(
    *,
    query: type[Struct] = Anything,
    answer: Any = None,
    media: str = JSON,
    yaml: Any = None,
    page: bool = False,
    also: tuple[int, ...] = (),
    errors: tuple[int, ...] = (),
) -> Callable[[_Handler], _Handler]:
    """Puts a `Told` on a handler. `yaml` is the answer for whoever wants YAML; `page`: a browser gets one."""
    answers = {media: answer} | ({YAML: yaml} if yaml is not None else {}) | ({HTML: None} if page else {})
    found = Told(query=query, answers=answers, also=also, errors=errors)

    def put(handler: _Handler) -> _Handler:
        handler.told = found  # type: ignore[attr-defined]  # functions take attributes; `told_of` reads this one
        return handler

    return put


def told_of(handler: Any) -> Told | None:
    found = getattr(handler, "told", None)
    return found if isinstance(found, Told) else None


def asked(request: web.Request, kind: type[Q]) -> Q:
    """The parameters of a request. Raises MuxError BAD_REQUEST that names the one which makes no sense."""
    return read(request.query, kind)


def read(given: Mapping[str, str], kind: type[Q]) -> Q:
    """The same of parameters that came another way."""
    try:
        return msgspec.convert(dict(given), kind, strict=False)
    except msgspec.ValidationError as error:
        found = _PLACE.match(str(error))
        if found is None:
            raise bad_request(f"The query is not valid: {error}") from None
        wrong = "this must be a date such as 2026-11-29" if "encoded date" in found[1] else found[1]
        raise bad_request(f"`{found[2]}`: {wrong}.", param=found[2]) from None
