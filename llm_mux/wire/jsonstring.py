"""The text of one string property, un-escaped while the JSON object around it still arrives.

Free-text tools travel as functions with one property `input`; their clients want the text as it comes. Rules: escapes
and surrogate pairs may be cut anywhere; other properties are skipped; a value that is no string comes out as its JSON
text; what does not begin with `{` is no object and passes through as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from llm_mux.wire.jsonx import Surrogates

_TOKEN = re.compile(r'[^"\\]++|"|\\(?:u[0-9a-fA-F]{4}|[^u]|u(?![0-9a-fA-F]{0,3}\Z))', re.DOTALL)
_OUTSIDE = re.compile(r'[^"{}\[\],]++|["{}\[\],]')
_SPACE = re.compile(r"\s*+")
_SPACE_AND_COLON = re.compile(r"[\s:]*+")
_KEY_OR_END = re.compile(r'["}]')
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", '"': '"', "\\": "\\", "/": "/"}


class StringField:
    """Pieces of an object's text in, the text of property `name` out.

    Each state is a method (text, offset, sink) -> offset; what it cannot read yet it leaves in `_held`.
    """

    def __init__(self, name: str = "input") -> None:
        self._name = name
        self._surrogates = Surrogates()
        self._state: Callable[[str, int, list[str]], int] = self._start
        self._held = ""
        self._word: list[str] = []
        self._depth = 0
        self._wanted = False

    def feed(self, piece: str) -> str:
        text = self._held + piece
        self._held = ""
        out: list[str] = []
        at = 0
        while at < len(text):
            at = self._state(text, at, out)
        return self._surrogates.feed("".join(out))

    def finish(self) -> str:
        """What was still held when the arguments ended, be it too early."""
        self._held = ""
        out: list[str] = []
        if self._wanted:
            self._end_value(out)
        return self._surrogates.feed("".join(out)) + self._surrogates.flush()

    def _start(self, text: str, at: int, out: list[str]) -> int:
        first = _past(_SPACE, text, at)
        if first == len(text):
            self._held = text
            return first
        self._state = self._between if text[first] == "{" else self._foreign
        return first + 1 if text[first] == "{" else at

    def _foreign(self, text: str, at: int, out: list[str]) -> int:
        out.append(text[at:])
        return len(text)

    def _over(self, text: str, at: int, out: list[str]) -> int:
        return len(text)

    def _between(self, text: str, at: int, out: list[str]) -> int:
        match = _KEY_OR_END.search(text, at)
        if match is None:
            return len(text)
        self._word = []
        self._state = self._key if match[0] == '"' else self._over
        return match.end()

    def _key(self, text: str, at: int, out: list[str]) -> int:
        return self._string(text, at, self._word, after=self._colon)

    def _colon(self, text: str, at: int, out: list[str]) -> int:
        first = _past(_SPACE_AND_COLON, text, at)
        if first == len(text):
            return first
        wanted = "".join(self._word) == self._name
        self._word = []
        if text[first] == '"':
            self._state = self._text if wanted else self._skipped
            return first + 1
        self._wanted, self._depth, self._state = wanted, 0, self._value
        return first

    def _text(self, text: str, at: int, out: list[str]) -> int:
        return self._string(text, at, out, after=self._over)

    def _skipped(self, text: str, at: int, out: list[str]) -> int:
        self._word = []
        return self._string(text, at, self._word, after=self._between)

    def _value(self, text: str, at: int, out: list[str]) -> int:
        """A value that is no string: kept as its JSON text, for it is shown only if it is the wanted one."""
        match = _OUTSIDE.match(text, at)
        piece = match[0] if match else text[at:]
        if self._depth == 0 and piece in ("}", "]", ","):
            self._end_value(out)
            return at
        self._word.append(piece)
        if piece == '"':
            self._state = self._nested
        elif piece in ("{", "["):
            self._depth += 1
        elif piece in ("}", "]"):
            self._depth -= 1
        return at + len(piece)

    def _nested(self, text: str, at: int, out: list[str]) -> int:
        at = self._string(text, at, self._word, after=self._value, raw=True)
        if self._state == self._value:
            self._word.append('"')
        return at

    def _end_value(self, out: list[str]) -> None:
        value = "".join(self._word).strip()
        if self._wanted and value != "null":
            out.append(value)
        self._state = self._over if self._wanted else self._between
        self._wanted = False

    def _string(
        self,
        text: str,
        at: int,
        sink: list[str],
        *,
        after: Callable[[str, int, list[str]], int],
        raw: bool = False,
    ) -> int:
        """Reads on inside a string; at its closing quote goes to the state `after`."""
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                self._held = text[at:]
                return len(text)
            at = match.end()
            if match[0] == '"':
                self._state = after
                return at
            sink.append(match[0] if raw else _unescaped(match[0]))
        return at


def _past(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at


def _unescaped(token: str) -> str:
    if token[0] != "\\":
        return token
    return chr(int(token[2:], 16)) if len(token) == 6 else _ESCAPES.get(token[1], token)
