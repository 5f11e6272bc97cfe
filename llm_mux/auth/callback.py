"""The way back from the browser: what the loopback listener may believe, and what a person may paste instead.

Rule: only a top-level visit with the right state counts. Everything else is refused, says nothing of what was
expected, and leaves the login as it was.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

MOST_HEAD_BYTES = 16384
_LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]"})
_PAGE = (
    "<!doctype html><meta charset=utf-8><title>llm-mux</title>"
    "<body style='font:16px/1.5 system-ui;max-width:32em;margin:15vh auto;padding:0 1em'><p>{}"
)


@dataclass(frozen=True, slots=True)
class Visit:
    """The answer to one request at the listener; `query` is set when it is the return that was waited for."""

    status: int
    text: str
    query: Mapping[str, str] | None = field(default=None, repr=False)

    def response(self) -> bytes:
        body = _PAGE.format(self.text).encode()
        head = (
            f"HTTP/1.1 {self.status} {'OK' if self.status == 200 else 'Refused'}\r\n"
            "Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n"
            "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n"
            f"X-Content-Type-Options: nosniff\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        return head.encode() + body


def visit(head: bytes, path: str, state: str, *, done: bool = False) -> Visit:
    """Judges one HTTP request by its head. `done`: the login has had its answer already."""
    lines = head.decode("latin-1").split("\r\n")
    method, _, rest = lines[0].partition(" ")
    target, _, version = rest.partition(" ")
    if not version.startswith("HTTP/1"):
        return Visit(400, "This is not HTTP.")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    host = headers.get("host", "").rpartition(":")[0] or headers.get("host", "")
    if host not in _LOCAL:
        return Visit(403, "This address is for this machine alone.")
    if _foreign(headers):
        return Visit(403, "Only a visit by a person counts here.")
    found = urlsplit(target)
    if found.path != path:
        return Visit(404, "There is nothing here.")
    if method != "GET":
        return Visit(405, "Only a visit by a person counts here.")
    try:
        query = dict(parse_qsl(found.query, keep_blank_values=True, max_num_fields=32))
    except ValueError:
        return Visit(400, "That is not an answer to this login.")
    if not hmac.compare_digest(query.get("state", "").encode(), state.encode()):
        return Visit(403, "That is not an answer to this login. Start it again from the terminal.")
    if done:
        return Visit(409, "This login has had its answer already.")
    if "error" not in query and not query.get("code"):
        return Visit(400, "That is not an answer to this login.")
    if "error" in query:
        return Visit(200, "The provider did not let you in. The terminal says why.", query)
    return Visit(200, "You are signed in. You can close this window and go back to the terminal.", query)


def _foreign(headers: Mapping[str, str]) -> bool:
    """Whether a page's script, image or frame asks, not a person who was sent here."""
    return (
        headers.get("origin", "null") != "null"
        or headers.get("sec-fetch-mode", "navigate") != "navigate"
        or headers.get("sec-fetch-dest", "document") != "document"
    )


def pasted(text: str, state: str) -> Mapping[str, str]:
    """The query in what a person pasted: the whole address (also without its beginning), a query, `code#state`, or the
    bare code. Raises ValueError, in words for that person, when it is none or belongs to another login."""
    text = text.strip().strip("'\"<>")
    if not text:
        raise ValueError("nothing was pasted")
    if len(text) > MOST_HEAD_BYTES or not text.isprintable() or " " in text:
        raise ValueError("that is neither an address nor a code; paste the whole address from the browser's bar")
    query = _query(text)
    given = query.get("state", "")
    if given and not hmac.compare_digest(given.encode(), state.encode()):
        raise ValueError("that belongs to another login; paste what came after opening the address above")
    if "error" not in query and not query.get("code"):
        raise ValueError("there is no code in that address; paste the one the browser was sent to in the end")
    return query


def _query(text: str) -> dict[str, str]:
    if "?" in text or text.startswith(("code=", "error=", "state=")):
        part = text.partition("?")[2] if "?" in text else text
        return dict(parse_qsl(part.partition("#")[0], keep_blank_values=True))
    if "://" in text:
        return {}
    code, _, state = text.partition("#")
    return {"code": code, "state": state}
