"""How a vendor's own signals refine an error: a table of status and words, so that a provider stays data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from msgspec import Struct

from llm_mux.errors import Kind, MuxError


class Fault(Struct, frozen=True):
    """An answer with `status` (None: any, also inside a 200) whose body holds `words` means `kind`; `rest_s` is how
    long it lasts when the answer does not say."""

    status: int | None
    words: str
    kind: Kind
    rest_s: float | None = None


def table(*faults: Fault) -> Callable[[MuxError, Mapping[str, str]], MuxError]:
    """A `classify` by the first fault that fits; letter case does not matter."""
    known = tuple((fault, fault.words.lower().encode()) for fault in faults)

    def classify(error: MuxError, headers: Mapping[str, str]) -> MuxError:
        body = (error.upstream or error.message.encode()).lower()
        for fault, words in known:
            if fault.status in (None, error.status) and words in body:
                rest = fault.rest_s if error.retry_after is None else error.retry_after
                return replace(error, kind=fault.kind, retry_after=rest)
        return error

    return classify
