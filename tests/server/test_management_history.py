"""`GET /v0/management/exchanges`: the rows of the books, one by one."""

import csv
import io
import pathlib
from typing import Any

import pytest

from llm_mux.server.usage_rows import Row
from tests.server.management import Managed, managed


async def asked(running: Managed, *models: str) -> None:
    for model in models:
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
        async with running.bare.post("/v1/chat/completions", json=body) as answer:
            await answer.read()


async def test_every_exchange_is_told_with_how_it_ended_and_what_it_cost(tmp_path: pathlib.Path) -> None:
    prices = [{"model": "demo/demo", "input": 1, "output": 2}]
    async with managed(tmp_path / "home", {"prices": prices}) as running:
        await asked(running, "demo", "no-such-model")
        page = await running.ask("GET", "/exchanges?days=1")
        gone, done = page["exchanges"]
        assert (gone["model_asked"], gone["status"], gone["error_kind"]) == ("no-such-model", 404, "model_not_found")
        assert (gone["cost"], gone["provider"], gone["attempts"]) == (None, None, 0)
        assert (done["model_served"], done["provider"], done["account"], done["status"]) == (
            "demo",
            "demo",
            "demo",
            200,
        )
        assert float(done["cost"]) == pytest.approx((done["input_tokens"] + 2 * done["output_tokens"]) / 10**6)
        assert "config" in done["price_source"]
        assert page["next"] is None
        failed = await running.ask("GET", "/exchanges?outcome=failed")
        assert failed["exchanges"] == [gone]
        one = await running.ask("GET", "/exchanges", params={"request": done["request_id"]})
        assert one["exchanges"] == [done]


async def test_pages_lead_to_the_first_exchange(tmp_path: pathlib.Path) -> None:
    async with managed(tmp_path / "home") as running:
        await asked(running, *["demo"] * 5)
        query: dict[str, Any] = {"limit": 2}
        pages, seen = [], []
        while True:
            page = await running.ask("GET", "/exchanges", params=query)
            pages.append(len(page["exchanges"]))
            seen += [each["id"] for each in page["exchanges"]]
            if page["next"] is None:
                break
            query["before"] = page["next"]
        assert (pages, seen) == ([2, 2, 1], sorted(set(seen), reverse=True))


async def test_they_come_as_csv_in_which_no_cell_is_a_formula(tmp_path: pathlib.Path) -> None:
    async with managed(tmp_path / "home") as running:
        await asked(running, "=cmd()")
        async with running.client.get("/v0/management/exchanges?format=csv") as answer:
            assert answer.content_type == "text/csv"
            (line,) = csv.DictReader(io.StringIO(await answer.text()))
    assert tuple(line) == Row.__struct_fields__
    assert (line["model_asked"], line["cost"]) == ("'=cmd()", "")


async def test_a_secret_that_a_client_took_for_a_model_is_not_shown(tmp_path: pathlib.Path) -> None:
    secret = "sk-ant-api03-" + "plantedsecret" * 4
    async with managed(tmp_path / "home") as running:
        await asked(running, secret)
        page = await running.ask("GET", "/exchanges")
    assert len(page["exchanges"]) == 1
    assert "plantedsecret" not in str(page)


@pytest.mark.parametrize(
    "query",
    ["days=0", "limit=0", "limit=5001", "before=0", "before=x", "outcome=odd", "group_by=day", "user=" + "u" * 300],
)
async def test_a_question_without_sense_is_a_400(tmp_path: pathlib.Path, query: str) -> None:
    async with managed(tmp_path / "home") as running:
        await running.ask("GET", f"/exchanges?{query}", 400)
