"""Prints docs/management.md: every route of the management API, from the document that `/openapi.json` answers.

Run as `python -m scripts.management_page`. Only what an example asks with is said here; a test asks a daemon so, and
holds the answers shown against their schemas.
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from aiohttp import web

from llm_mux.server.management import endpoint
from llm_mux.server.management.routes import ENDPOINTS, GROUPS
from llm_mux.server.openapi import document

Json = Mapping[str, Any]
URL = "http://127.0.0.1:8317"
INTRODUCTION = """\
# The management API

Made by `make docs` from the program; do not edit. A running daemon shows the same at `/docs`, and for programs at
`/openapi.json`.

`llm-mux --init` makes the management key and shows it again. Send it as `X-Management-Key` or `Authorization:
Bearer`; in the URL it does not count. Only this machine may manage, whatever forwarding headers say (a request that a
proxy passed on is not this machine's), unless `remote-management.allow-remote` is true. After five wrong keys an
address is not listened to for 30 seconds, and twice as long after each further one, up to 15 minutes (429 with
`Retry-After`). Pages of other origins may not, even with the key. No answer holds a secret. Unknown parameters and
fields are refused with a 400.

A page signs in: `POST /v0/management/session` with the key answers a `csrf` token and a cookie that scripts cannot
read. Browsers send cookies to every port of a host, so the cookie alone opens nothing: every request of a session,
reading ones too, needs the token as `X-CSRF-Token`. A session is over after 8 hours without a request, after 3 days,
with the daemon, and with the management key; then it is a 401 with the code `session_expired` (a wrong token is a
403, `csrf_token_wrong`). Its page may also call the routes of models, as the client `dashboard`.

In the examples `$KEY` is the management key. Routes with GET answer HEAD too. Every route may also answer 400, 401,
403, 429 and 500 with an error:

```json
{"error": {"message": "...", "type": "...", "param": null, "code": "..."},
 "detail": "...", "code": 400, "error_type": "..."}
```
"""
ASKED: Mapping[tuple[str, str], str] = {
    ("GET", "/logs"): "?level=warning&limit=50",
    ("GET", "/usage"): "?days=7&group_by=model",
    ("GET", "/models"): "?provider=gemini",
    ("GET", "/billing"): "?user=ada",
    ("GET", "/routes/explain"): "?model=claude-sonnet-4-5",
    ("GET", "/requests"): "?limit=20",
    ("GET", "/exchanges"): "?days=2&user=ada&outcome=failed",
    ("DELETE", "/cooldowns"): "?account=gemini/default",
    ("DELETE", "/api-keys"): "?key=laptop",
}
SENT: Mapping[tuple[str, str], Any] = {
    ("POST", "/accounts"): {"provider": "gemini", "key": "AIza...", "label": "work", "check": False},
    ("PATCH", "/accounts/{provider}/{label}"): {"enabled": False},
    ("POST", "/logins"): {"provider": "codex", "way": "device", "agree": True},
    ("POST", "/logins/{id}/reply"): {"text": "http://localhost:1455/auth/callback?code=..."},
    ("PUT", "/api-keys"): {
        "name": "laptop",
        "scopes": {"models": ["claude-*"], "limits": {"requests-per-minute": 60}, "daily-budget": "5"},
    },
    ("PUT", "/routes"): {"aliases": {"fast": "gemini://gemini-2.5-flash"}, "fallbacks": {"fast": ["gpt-5-mini"]}},
    ("PUT", "/capture"): {"value": True},
    ("PUT", "/debug"): {"value": True},
    ("POST", "/billing/credit"): {"user": "ada", "amount": "25", "description": "November"},
}
PLACES = {"provider": "gemini", "label": "default", "id": "1"}
_VALUES: Mapping[str, Any] = {
    "accounts.name": "gemini/default",
    "quotas.name": "requests a day",
    "keys.name": "laptop",
    "aliases.name": "fast",
    "providers.name": "gemini",
    "transactions.description": "gemini-2.5-flash",
    ".name": "gemini/work",
    "account": "gemini/default",
    "accounts": "gemini/default",
    "address": URL,
    "amount": "-0.0042",
    "balance": "24.9958",
    "balance_after": "24.9958",
    "base_url": "https://generativelanguage.googleapis.com",
    "capabilities": "tools",
    "cleared": "gemini/default",
    "code": "ABCD-EFGH",
    "column": 3,
    "config": "/etc/llm-mux/config.yaml",
    "cost": "0.0042",
    "created": "2026-11-01T09:00:00Z",
    "currency": "USD",
    "days": 7,
    "description": "gemini-2.5-flash",
    "expires": None,
    "file": "/etc/llm-mux/config.yaml",
    "from": "2026-11-01",
    "group_by": "model",
    "hint": "mux-...9f3a",
    "id": "1",
    "input": "0.3",
    "key": "mux-...",
    "key_url": "https://aistudio.google.com/apikey",
    "kind": "text",
    "label": "default",
    "last_error": None,
    "line": 12,
    "loaded_at": 1793523600.0,
    "message": "done",
    "model": "gemini-2.5-flash",
    "name": "gemini-2.5-flash",
    "object": "usage",
    "origin": "stored key",
    "output": "2.5",
    "plan": None,
    "platform": "Linux",
    "problem": None,
    "provider": "gemini",
    "providers": "gemini",
    "python": "3.11.7",
    "reason": "rate limit",
    "replaced": 1793523600.0,
    "resets_at": 1793527200.0,
    "revoked": None,
    "scope": "",
    "source": "database",
    "started": 1793523600.0,
    "state": "ready",
    "strategy": "sticky",
    "target": "gemini-2.5-flash",
    "timestamp": "2026-11-01T09:00:00Z",
    "title": "Gemini",
    "to": "2026-11-07",
    "type": "gemini",
    "used": 0.25,
    "user": "ada",
    "version": "1",
    "warning": None,
    "way": "key",
    "why": "it has the model",
    "csrf": "f3a9...",
    "error": None,
    "secrets_error": None,
}
"""What fields of these names hold in the examples, where their types allow it; first by the list that they are in."""


def page() -> str:
    """The whole page."""
    told = document(web.Application())
    parts = [INTRODUCTION, *(_contents())]
    for title, endpoints in GROUPS.items():
        parts.append(f"\n## {title}\n")
        parts += ["\n".join(_route(each, told)) for each in endpoints]
    return "\n".join(parts).rstrip() + "\n"


def _contents() -> Iterator[str]:
    yield "| route | does |\n|---|---|"
    for each in ENDPOINTS:
        yield f"| `{each.method} {endpoint.ROOT}{each.path}` | {each.summary} |"


def _route(each: endpoint.Endpoint, told: Json) -> Iterator[str]:
    operation = told["paths"][endpoint.ROOT + each.path][each.method.lower()]
    schemas = told["components"]["schemas"]
    yield f"### `{each.method} {endpoint.ROOT}{each.path}`\n"
    yield textwrap.fill(f"{each.summary}. {each.more}".strip(), 120, break_on_hyphens=False) + "\n"
    body = operation.get("requestBody", {}).get("content", {})
    rows = [_row(p["name"], p["in"], p["schema"], schemas, needed=p["required"]) for p in operation["parameters"]]
    for content in body.values():
        rows += _fields(content["schema"], schemas)
    if rows:
        yield "| name | where | holds | |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"
    yield f"```sh\n{curl(each)}\n```\n"
    answer = operation["responses"][str(each.status)]["content"]
    for media, content in answer.items():
        shown = example(content["schema"], schemas)
        if media == "application/json":
            text = json.dumps(shown, indent=None if len(json.dumps(shown)) < 100 else 2, ensure_ascii=False)
            yield f"```json\n{text}\n```\n"
        else:
            yield f"It answers {media}.\n"
    if notes := list(dict.fromkeys(_notes(answer, schemas))):
        yield "\n".join(
            textwrap.fill(f"- {note}", 120, subsequent_indent="  ", break_on_hyphens=False) for note in notes
        )
        yield ""
    if each.errors:
        yield f"Also: {', '.join(map(str, sorted(each.errors)))}.\n"


def curl(each: endpoint.Endpoint, url: str = URL) -> str:
    """The example as a person would paste it."""
    path = each.path
    for name, value in PLACES.items():
        path = path.replace(f"{{{name}}}", value)
    key = (each.method, each.path)
    words = ["curl"] + (["-X", each.method] if each.method != "GET" else [])
    words += ["-H", '"X-Management-Key: $KEY"', f"'{url}{endpoint.ROOT}{path}{ASKED.get(key, '')}'"]
    if each.body is bytes:
        words += ["--data-binary", "@config.yaml"]
    elif each.body is not None:
        words += ["-d", f"'{json.dumps(SENT[key])}'"]
    return " ".join(words)


def _fields(schema: Json, schemas: Json) -> list[str]:
    made = _plain(schema, schemas)
    if "properties" not in made:
        return ["| (body) | body | the text of the file | needed |"]
    needed = made.get("required", ())
    return [_row(name, "body", each, schemas, needed=name in needed) for name, each in made["properties"].items()]


def _row(name: str, where: str, schema: Json, schemas: Json, *, needed: bool) -> str:
    default = schema.get("default")
    other = f"otherwise `{json.dumps(default)}`" if default not in (None, "", {}, (), []) and not needed else ""
    if isinstance(default, dict):
        other = ""
    return f"| `{name}` | {where} | {_holds(schema, schemas)} | {'needed' if needed else other} |"


def _holds(schema: Json, schemas: Json) -> str:
    """What a value may be, in words."""
    if "enum" in schema:
        return ", ".join(f"`{each}`" for each in schema["enum"])
    several = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    if several:
        return " or ".join(_holds(each, schemas) for each in several)
    if "$ref" in schema:
        inner = _plain(schema, schemas)
        return "an object: " + ", ".join(f"`{name}`" for name in inner.get("properties", {}))
    kind = {"string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false"}
    words = kind.get(schema.get("type", ""), "a list" if schema.get("type") == "array" else "an object")
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and most is not None and most < 2**31:
        return f"{words} from {least} to {most}"
    return "a date (2026-11-01)" if schema.get("format") == "date" else words


def _notes(answer: Json, schemas: Json) -> Iterator[str]:
    """What the types of an answer say of themselves."""
    for content in answer.values():
        for name in _named(content["schema"], schemas, set()):
            text = " ".join(str(schemas[name].get("description", "")).split())
            if text:
                yield text


def _named(schema: Any, schemas: Json, seen: set[str]) -> Iterator[str]:
    if isinstance(schema, list | tuple):
        for each in schema:
            yield from _named(each, schemas, seen)
    elif isinstance(schema, dict):
        name = str(schema.get("$ref", "")).rpartition("/")[2]
        if name and name not in seen:
            seen.add(name)
            yield name
            yield from _named(schemas[name], schemas, seen)
        for value in schema.values():
            yield from _named(value, schemas, seen)


def _plain(schema: Json, schemas: Json) -> Json:
    return schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def example(schema: Json, schemas: Json, name: str = "", depth: int = 0, inside: str = "") -> Any:
    """A value that follows a schema, as one could be. `inside`: the list that it is in."""
    schema = _plain(schema, schemas)
    kinds = [each.get("type") for each in schema.get("anyOf", ())]
    for known in (f"{inside}.{name}", name):
        if known in _VALUES and _fits(_VALUES[known], schema, kinds):
            return _VALUES[known]
    if several := [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]:
        return example(several[0], schemas, name, depth + 1, inside)
    if schema.get("enum"):
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            properties = schema.get("properties", {})
            if not properties or depth > 6:
                return {}
            return {each: example(inner, schemas, each, depth + 1, name) for each, inner in properties.items()}
        case "array":
            return [] if depth > 6 else [example(schema.get("items", {}), schemas, name, depth + 1, inside)]
        case "integer":
            return max(1, schema.get("minimum", 1))
        case "number":
            return 1.0
        case "boolean":
            return bool(schema.get("default", True))
        case "null":
            return None
        case _:
            return "..."


def _fits(value: Any, schema: Json, kinds: list[str]) -> bool:
    if value is None:
        return "null" in kinds
    wanted = {str: "string", int: "integer", float: "number"}[type(value)]
    return (schema.get("type") == wanted and "pattern" not in schema) or wanted in kinds


if __name__ == "__main__":
    sys.stdout.write(page())
