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
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from llm_mux import paths
from llm_mux.auth.keys import create_management_key
from llm_mux.auth.store import open_store
from llm_mux.server.management.routes import ENDPOINTS
from llm_mux.server.openapi import document, page
from tests.daemon import clean_environment, process_daemon
from tests.server.conftest import Run
from tests.server.management import ROOT


async def test_the_document_names_every_route_and_no_other(demo: Run) -> None:
    async with demo() as mux:
        found = document(mux.app)
        routes = {
            route.resource.canonical
            for route in mux.app.router.routes()
            if route.resource is not None and route.resource.canonical != "/{tail}"
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
    if each.path != "/requests/live"
    for mode in (SANE, INSANE)
    if mode is SANE or each.body not in (None, bytes) or each.query.__struct_fields__
]


@pytest.mark.parametrize(("label", "mode"), TRIED)
def test_every_management_route_does_what_the_document_says(
    api: schemathesis.BaseSchema, label: str, mode: GenerationMode
) -> None:
    """Requests as the document allows them, and as it does not; the latter are refused."""
    operation = next(each.ok() for each in api.get_all_operations() if each.ok().label == label)
    checks = CHECKS if mode is SANE else [*CHECKS, negative_data_rejection]

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=15, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    def held(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=checks)

    held()
