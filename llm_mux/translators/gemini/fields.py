"""Reading one field of a client's request: what does not fit is the client's mistake, told with the field's name."""

from __future__ import annotations

from typing import TypeVar

from msgspec import Raw

from llm_mux.errors import MuxError, bad_request
from llm_mux.translators.gemini import spelling
from llm_mux.wire import jsonx

_T = TypeVar("_T")


def decoded(name: str, value: Raw, type_: type[_T]) -> _T:
    """`value` as `type_`, numbers in strings accepted as proto JSON has them."""
    try:
        return jsonx.decode(bytes(value), type_, strict=False)
    except jsonx.Malformed as error:
        raise wrong(name, str(error)) from error


def optional(name: str, members: dict[str, Raw], type_: type[_T]) -> _T | None:
    """The member `name` taken out of `members`; None when it is absent or null."""
    value = members.pop(name.rsplit(".", 1)[-1], None)
    return None if value is None or bytes(value) == b"null" else decoded(name, value, type_)


def respelled(name: str, value: Raw, shape: spelling.Shape) -> Raw:
    try:
        return spelling.respelled(value, shape)
    except jsonx.Malformed as error:
        raise wrong(name, str(error)) from error


def members(name: str, value: Raw) -> dict[str, Raw]:
    """The members of an object under their camelCase names."""
    try:
        return spelling.keys(value)
    except jsonx.Malformed as error:
        raise wrong(name, "it must be an object") from error


def items(name: str, value: Raw) -> list[Raw]:
    """The items of a list; one object alone counts as a list of it."""
    if bytes(value).lstrip().startswith(b"{"):
        return [value]
    return decoded(name, value, list[Raw])


def wrong(name: str, why: str) -> MuxError:
    return bad_request(f"Field {name} of the request cannot be read: {why}.", param=name)
