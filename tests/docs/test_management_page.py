"""docs/management.md: as the program is now; its examples are taken by a daemon, and answers look as it shows them."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import aiohttp
import jsonschema_rs
import pytest
from aiohttp import web

from llm_mux.server.management.endpoint import ROOT, Endpoint
from llm_mux.server.management.routes import ENDPOINTS
from llm_mux.server.openapi import document
from scripts.management_page import ASKED, PLACES, SENT, example, page
from scripts.pages import DOCS
from tests.server.management import managed


def test_the_page_is_as_the_program_is() -> None:
    assert (DOCS / "management.md").read_text(encoding="utf-8") == page(), "make docs"


def test_every_route_is_in_one_group_and_every_body_has_an_example() -> None:
    named = {(each.method, each.path) for each in ENDPOINTS}
    assert len(named) == len(ENDPOINTS)
    assert {*ASKED, *SENT} <= named
    assert {(e.method, e.path) for e in ENDPOINTS if e.body not in (None, bytes)} == set(SENT)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda each: f"{each.method} {each.path}")
def test_the_answers_that_are_shown_follow_their_schemas(endpoint: Endpoint) -> None:
    told = document(web.Application())
    answers = told["paths"][ROOT + endpoint.path][endpoint.method.lower()]["responses"]
    for media, content in answers[str(endpoint.status)]["content"].items():
        if media == "application/json":
            shown = example(content["schema"], told["components"]["schemas"])
            jsonschema_rs.validate(
                {**content["schema"], "components": told["components"]}, json.loads(json.dumps(shown))
            )


async def test_a_daemon_takes_every_example(tmp_path: pathlib.Path) -> None:
    """What is named in them is not there, which may be said; nothing of them may be misunderstood."""
    refused: dict[str, Any] = {}
    async with managed(tmp_path / "home", {"billing": {"enabled": True}}) as mux:
        for each in ENDPOINTS:
            if each.path in ("/requests/live", "/session"):
                continue
            place, key = each.path.format(**PLACES), (each.method, each.path)
            body = {"data": "port: 0\n"} if each.body is bytes else {"json": SENT[key]} if key in SENT else {}
            timeout = aiohttp.ClientTimeout(total=30)
            url = f"{ROOT}{place}{ASKED.get(key, '')}"
            async with mux.client.request(each.method, url, timeout=timeout, **body) as answer:
                if answer.status not in (200, 404, 409):
                    refused[f"{each.method} {each.path}"] = answer.status, await answer.text()
    assert refused == {}
