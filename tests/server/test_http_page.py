"""docs/http.md and docs/management.md name every route that the application has, and none that it has not."""

import pathlib
import re

import pytest
from aiohttp import web

from llm_mux import paths
from llm_mux.auth.store import open_store
from llm_mux.config import parse
from llm_mux.server.app import make_app
from tests.daemon import clean_environment, config_text

DOCS = pathlib.Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "http.md").read_text(encoding="utf-8")
MANAGED = re.compile(r"^### `([A-Z]+) (\S+)`$", re.MULTILINE)
ROW = re.compile(r"^\| (any|[A-Z]+) \| `([^`]+)` \| .+ \| (key|local|anyone|manager) \|$", re.MULTILINE)


@pytest.fixture
def app(tmp_path: pathlib.Path) -> web.Application:
    environment = clean_environment(tmp_path)
    loaded = parse(config_text({}), None, environment)
    return make_app(loaded, environment, open_store(env=environment, data_dir=paths.data_dir(environment)))


def registered(app: web.Application) -> set[tuple[str, str]]:
    found = set()
    for route in app.router.routes():
        assert route.resource is not None
        if route.method != "HEAD":
            found.add(("any" if route.method == "*" else route.method, route.resource.canonical))
    return found


def test_the_pages_and_the_router_name_the_same_routes(app: web.Application) -> None:
    named = {(method, path) for method, path, _ in ROW.findall(PAGE)}
    named |= set(MANAGED.findall((DOCS / "management.md").read_text(encoding="utf-8")))
    assert registered(app) - named == set(), "routes that no page names"
    assert named - registered(app) == set(), "routes that a page makes up"


def test_every_get_answers_head_too(app: web.Application) -> None:
    methods: dict[str, set[str]] = {}
    for route in app.router.routes():
        assert route.resource is not None
        methods.setdefault(route.resource.canonical, set()).add(route.method)
    assert [path for path, own in methods.items() if "GET" in own and "HEAD" not in own] == []


def test_the_page_names_every_header_that_pages_may_see() -> None:
    from llm_mux.server.serving import _EXPOSED

    assert [name for name in _EXPOSED.split(", ") if f"`{name}`" not in PAGE] == []
