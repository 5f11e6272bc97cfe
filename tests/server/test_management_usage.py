"""`GET /v0/management/usage`: the sums of the books, by what is asked for."""

import pathlib

import pytest

from tests.server.management import Managed, managed


async def asked(running: Managed, *models: str) -> None:
    for model in models:
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
        async with running.bare.post("/v1/chat/completions", json=body) as answer:
            assert answer.status == 200


async def test_usage_is_grouped_and_narrowed(tmp_path: pathlib.Path) -> None:
    async with managed(tmp_path / "home") as running:
        await asked(running, "demo", "demo", "demo-code")
        report = await running.ask("GET", "/usage?days=1&group_by=model")
        some = await running.ask("GET", "/usage?days=1&model=demo-code&group_by=key")
    assert (report["object"], report["group_by"], report["currency"]) == ("usage", "model", "USD")
    assert sum(line["requests"] for line in report["data"]) == report["total"]["requests"] == 3
    assert [line["total_tokens"] > 0 for line in report["data"]] == [True] * len(report["data"])
    assert (some["group_by"], some["total"]["requests"]) == ("client_key", 1)


@pytest.mark.parametrize(
    "query",
    [
        "days=-1",
        "days=0",
        "days=100000",
        "days=x",
        "days=1&days=2",
        "days=3&from=2026-01-01",
        "from=2026-02-02&to=2026-02-01",
        "from=now",
        "from=0001-01-01",
        "group_by=moon",
        "limit=1",
        "model=" + "m" * 300,
    ],
)
async def test_a_question_without_sense_is_a_400(tmp_path: pathlib.Path, query: str) -> None:
    async with managed(tmp_path / "home") as running:
        await running.ask("GET", f"/usage?{query}", 400)


async def test_a_name_is_a_name_whatever_it_holds(tmp_path: pathlib.Path) -> None:
    async with managed(tmp_path / "home") as running:
        await asked(running, "demo")
        report = await running.ask("GET", "/usage", params={"user": "' OR 1=1; DROP TABLE usage_days; --"})
        assert (report["data"], report["total"]) == ([], None)
        assert (await running.ask("GET", "/usage"))["total"]["requests"] == 1
