"""The management API of the running daemon, as commands use it: the key comes from the secret store.

Rule: over loopback only, and the key goes nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from llm_mux.cli.client import Answer, Client, error_text, require
from llm_mux.cli.invocation import Failure, open_secrets
from llm_mux.cli.said import clean

BASE = "/v0/management"


def client() -> Client:
    """A client with the management key. Raises Failure when no daemon runs or there is no key."""
    from llm_mux.auth.keys import management_key

    record = require()
    key = management_key(open_secrets())
    if key is None:
        raise Failure("there is no management key yet; make one with: llm-mux init")
    return Client(record.url, {"x-management-key": key})


def get(path: str, **query: str | None) -> Any:
    """The JSON answer to a GET; `query` without what is None. Raises Failure when the daemon refuses."""
    return _read(client().get(_url(path, query)))


def delete(path: str, **query: str | None) -> Any:
    return _read(client().delete(_url(path, query)))


def _url(path: str, query: Mapping[str, str | None]) -> str:
    asked = urlencode({name: value for name, value in query.items() if value is not None})
    return f"{BASE}{path}?{asked}" if asked else f"{BASE}{path}"


def _read(answer: Answer) -> Any:
    if answer.status >= 300:
        raise Failure(clean(error_text(answer)))
    return answer.json()
