"""The OpenAPI document: whole, true to the router, and held against the running daemon by schemathesis."""

import pathlib
import re
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    positive_data_acceptance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from llm_mux import paths
from llm_mux.auth.keys import create_management_key
from llm_mux.auth.store import open_store
from llm_mux.server.management.routes import ENDPOINTS
from llm_mux.server.management.streams import EVENTS
from llm_mux.server.openapi import document, page
from tests.daemon import clean_environment, process_daemon
from tests.server.conftest import Run
from tests.server.management import ROOT, managed


async def test_the_document_names_every_route_and_no_other(demo: Run) -> None:
    async with demo() as mux:
        found = document(mux.app)
        routes = {
            route.resource.canonical
            for route in mux.app.router.routes()
            if route.resource is not None and route.resource.canonical not in ("/{tail}", f"{ROOT}/{{tail}}")
        }
        assert found["paths"].keys() == routes
        assert {f"{e.method.lower()} {ROOT}{e.path}" for e in ENDPOINTS} <= {
            f"{method} {path}" for path, methods in found["paths"].items() for method in methods
        }
        references = set(re.findall(r'"\$ref": ?"#/components/schemas/([^"]+)"', str(found).replace("'", '"')))
        assert references <= found["components"]["schemas"].keys()
        assert all(operation["summary"] for methods in found["paths"].values() for operation in methods.values())


async def test_the_page_for_reading_needs_no_script_and_escapes_what_it_shows(demo: Run) -> None:
    async with demo() as mux, aiohttp.ClientSession(mux.url) as client:
        async with client.get("/docs") as answer:
            text = await answer.text()
            assert answer.content_type == "text/html"
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "<script" not in text
        assert "/v0/management/config.yaml" in text
        async with client.get("/openapi.json") as answer:
            found: dict[str, Any] = await answer.json()
        found["paths"]["/<b>"] = {"get": {**found["paths"]["/healthz"]["get"], "summary": "<script>x</script>"}}
        assert "<script" not in page(found)


async def test_every_management_path_says_which_methods_it_takes(tmp_path: pathlib.Path) -> None:
    taken: dict[str, set[str]] = {}
    for each in ENDPOINTS:
        taken.setdefault(each.path, set()).update((each.method, "HEAD") if each.method == "GET" else (each.method,))
    async with managed(tmp_path / "home") as mux:
        for path, methods in taken.items():
            for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} - methods:
                async with mux.client.request(method, ROOT + re.sub(r"\{\w+\}", "x", path)) as answer:
                    assert answer.status == 405, (method, path)
                    assert answer.headers["Cache-Control"] == "no-store"
                    allowed = set(answer.headers["Allow"].split(", "))
                    # A path with a name in it may be another's without.
                    assert methods <= allowed
                    assert method not in allowed
                    assert (await answer.json())["error"]["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    ("method", "path", "allow", "shape"),
    [
        ("GET", "/v1/chat/completions", "POST", "code"),
        ("GET", "/v1/messages", "POST", "type"),
        ("GET", "/api/chat", "POST", None),
        ("POST", "/health", "GET, HEAD", "code"),
        ("DELETE", "/v1/models", "GET, HEAD", "code"),
    ],
)
async def test_other_paths_say_it_in_their_own_shape(
    demo: Run, method: str, path: str, allow: str, shape: str | None
) -> None:
    async with demo() as mux, aiohttp.ClientSession(mux.url) as client:
        async with client.request(method, path) as answer:
            assert (answer.status, answer.headers["Allow"]) == (405, allow)
            assert answer.headers["X-Request-ID"]
            error = (await answer.json())["error"]
        assert isinstance(error, str) if shape is None else shape in error


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[schemathesis.BaseSchema]:
    home: pathlib.Path = tmp_path_factory.mktemp("api")
    environment = clean_environment(home)
    key = create_management_key(open_store(env=environment, data_dir=paths.data_dir(environment)))
    with process_daemon(home, {"api-keys": ["k"], "disable-auth": True}, "--demo") as mux:
        schema = schemathesis.openapi.from_url(f"{mux.url}/openapi.json")
        schema.config.update(headers={"X-Management-Key": key})
        yield schema


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
SANE, INSANE = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
TRIED = [
    pytest.param(f"{each.method} {ROOT}{each.path}", mode, id=f"{each.method} {each.path} {mode.value}")
    for each in ENDPOINTS
    if each.media != EVENTS
    for mode in (SANE, INSANE)
    if mode is SANE or each.body not in (None, bytes) or each.query.__struct_fields__
]


OWN = (
    *("/", "/health", "/health/detailed", "/health/circuit-breakers", "/health/monitoring", "/health/system"),
    *("/health/history", "/healthz", "/ready", "/metrics", "/metrics/running-totals", "/v1/providers", "/v1/mappings"),
    *("/v1/usage", "/v1/aliases", "/top-models", "/test-connection", "/billing/balance", "/billing/transactions"),
    *("/docs", "/v1/models", "/v1/models/{name}", "/v1/responses/{id}/input_items"),
)


@pytest.mark.parametrize("path", OWN)
@pytest.mark.parametrize("mode", [SANE, INSANE])
def test_every_other_get_does_what_the_document_says(
    api: schemathesis.BaseSchema, path: str, mode: GenerationMode
) -> None:
    operation = next(each.ok() for each in api.get_all_operations() if each.ok().label == f"GET {path}")
    if mode is INSANE and not operation.query:
        mode = SANE

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=10, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    def held(case: schemathesis.Case) -> None:
        some_days(case)
        case.call_and_validate(checks=[*CHECKS, positive_data_acceptance] if mode is SANE else CHECKS)

    held()


async def test_model_requests_are_described_with_their_errors_in_their_protocols_shape(demo: Run) -> None:
    async with demo() as mux:
        found = document(mux.app)
    for path, shape in (
        ("/v1/chat/completions", {"error"}),
        ("/v1/messages", {"type", "error", "request_id"}),
        ("/v1/responses", {"error"}),
        ("/api/chat", {"error"}),
    ):
        told = found["paths"][path]["post"]
        assert set(told["requestBody"]["content"]["application/json"]["schema"]["properties"]) >= {"model", "stream"}
        assert {"200", "400", "401", "402", "403", "404", "413", "415", "429", "503"} <= told["responses"].keys()
        for status, answer in told["responses"].items():
            if status != "200":
                assert answer["content"]["application/json"]["example"].keys() >= shape, (path, status)
    chat = found["paths"]["/v1/chat/completions"]["post"]["responses"]["200"]["content"]
    assert chat.keys() == {"application/json", "text/event-stream"}
    assert found["paths"]["/api/chat"]["post"]["responses"]["200"]["content"].keys() >= {"application/x-ndjson"}
    counted = found["paths"]["/v1/messages/count_tokens"]["post"]
    assert counted["responses"]["200"]["content"].keys() == {"application/json"}


def counted(body: Any) -> Any:
    """Whole numbers as clients write them: JSON Schema takes 5.0 for one, nobody else does."""
    if isinstance(body, float) and body.is_integer():
        return int(body)
    if isinstance(body, dict):
        return {name: counted(value) for name, value in body.items()}
    return [counted(each) for each in body] if isinstance(body, list) else body


def word(case: schemathesis.Case, name: str) -> None:
    """A name that a person can read, in place of the one that was drawn."""
    if isinstance(case.body.get(name), str):
        case.body[name] = case.body[name].encode("ascii", "ignore").hex()[:40] or "x"


def a_file(case: schemathesis.Case) -> None:
    case.body = {"port": 0, "discover": False, "disable-auth": True, "strict": len(str(case.body)) % 2 == 0}


def an_account(case: schemathesis.Case) -> None:
    word(case, "key")
    case.body |= {"check": False, "base_url": None, "provider": "groq" if len(case.body["key"]) % 2 else "nobody"}


def a_login(case: schemathesis.Case) -> None:
    case.body.pop("way", None)
    case.body.pop("text", None)


def a_key(case: schemathesis.Case) -> None:
    word(case, "name")
    case.body["scopes"] = {"models": ["gpt-*"], "limits": {"concurrent": 2}, "daily-budget": "1.5"}
    case.body["expires"] = case.body.pop("user", None) and 9e9


def a_credit(case: schemathesis.Case) -> None:
    word(case, "user")
    if not float(case.body["amount"]):
        case.body["amount"] = "0.01"


def some_days(case: schemathesis.Case) -> None:
    for name in ("from", "to"):
        if name in case.query and case.meta.generation.mode is SANE:
            case.query.pop("days", None)
            case.query[name] = "2026-01-02"


def some_names(case: schemathesis.Case) -> None:
    several = len(str(case.body)) % 3
    case.body = {"aliases": {f"fast-{n}": "demo" for n in range(several)}, "fallbacks": {"demo": ["other"]}}


MEANT = {
    "PUT /config.yaml": a_file,
    "PUT /routes": some_names,
    "POST /accounts": an_account,
    "POST /logins": a_login,
    "PUT /api-keys": a_key,
    "POST /billing/credit": a_credit,
    "GET /usage": some_days,
    "GET /exchanges": some_days,
}
"""What a schema cannot say of the requests that a route takes."""


@pytest.mark.parametrize(("label", "mode"), TRIED)
def test_every_management_route_does_what_the_document_says(
    api: schemathesis.BaseSchema, label: str, mode: GenerationMode
) -> None:
    """Requests as the document allows them, and as it does not; the latter are refused."""
    operation = next(each.ok() for each in api.get_all_operations() if each.ok().label == label)
    checks = [*CHECKS, ignored_auth, positive_data_acceptance] if mode is SANE else [*CHECKS, negative_data_rejection]

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=15, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    def held(case: schemathesis.Case) -> None:
        case.body = counted(case.body)
        if mode is SANE:
            MEANT.get(label.replace(f" {ROOT}", " "), lambda case: None)(case)
        case.call_and_validate(checks=checks)

    held()
