"""The text of the configuration file with its secrets taken out, and put back into a text that comes again.

Each secret is replaced by a mark of its own, `"***1f2e3d4c5b6a"`, that says nothing about it; wherever the mark stands
in a text that is sent back, the secret is put in again as it was written. So a file can be shown, edited, reordered
and stored with its comments, and no secret leaves the daemon. Rule: a secret is known by the schema, or by its looks.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from llm_mux import log
from llm_mux.config import Config, ConfigError, Place, masked

_SALT = os.urandom(32)
_MARK = re.compile(r"""(["']?)\*\*\*([0-9a-f]{12})\1""")


def shown(text: str, config: Config) -> str:
    """`text` with marks in place of secrets."""
    return _pieced(text, _spans(text, config))


def completed(text: str, known: str, config: Config, file: str) -> str:
    """`text` with the secrets of the `known` text of `config` in place of their marks. Raises ConfigError for a mark
    that stands for none of them."""
    written = {mark(known[start:end]): known[start:end] for start, end in _spans(known, config)}

    def back(found: re.Match[str]) -> str:
        secret = written.get(found[2])
        if secret is None:
            line = text.count("\n", 0, found.start()) + 1
            column = found.start() - (text.rfind("\n", 0, found.start()) + 1) + 1
            message = "this stands for a secret that the file no longer has; write the secret itself"
            raise ConfigError(message, Place(file, line, column))
        return secret

    return _MARK.sub(back, text)


def _pieced(text: str, spans: list[tuple[int, int]]) -> str:
    out, at = [], 0
    for start, end in spans:
        out += [text[at:start], f'"***{mark(text[start:end])}"']
        at = end
    return "".join([*out, text[at:]])


def mark(written: str) -> str:
    return hmac.new(_SALT, written.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:12]


def _spans(text: str, config: Config) -> list[tuple[int, int]]:
    """Where secrets are written: values of the file, and whatever looks like a secret, also in comments."""
    secrets = set(_secrets(msgspec.to_builtins(config), masked(config)))
    found = [(start, end) for start, end, value in _scalars(text) if value in secrets]
    found += [(start, end) for start, end in log.secret_spans(text)]
    spans: list[tuple[int, int]] = []
    for start, end in sorted(found, key=lambda span: (span[0], -span[1])):
        if not spans or start >= spans[-1][1]:
            spans.append((start, end))
    return spans


def _secrets(plain: Any, hidden: Any) -> Iterator[str]:
    """The texts that `hidden` does not show as they are."""
    if isinstance(plain, dict):
        for name, value in plain.items():
            yield from _secrets(value, hidden.get(name))
    elif isinstance(plain, list | tuple):
        for value, beside in zip(plain, hidden, strict=True):
            yield from _secrets(value, beside)
    elif plain is not None and plain != hidden:
        yield str(plain)


def _scalars(text: str) -> Iterator[tuple[int, int, str]]:
    """Every scalar with where it is written, quotes included. `text` has been read before, so it is small and sound."""
    import yaml

    for event in yaml.parse(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        if isinstance(event, yaml.ScalarEvent) and event.start_mark is not None and event.end_mark is not None:
            start, end = event.start_mark.index, event.end_mark.index
            while end > start and text[end - 1].isspace():
                end -= 1
            yield start, end, event.value
