"""`GET /v0/management/usage`: the sums of the books, by what is asked for."""

import csv
import io
import pathlib
from datetime import date

import pytest

from llm_mux.server.usage import Report, Sums
from llm_mux.server.usage_csv import written
from tests.fake_upstream import FakeUpstream, json_reply
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


@pytest.mark.parametrize("counted", [2**64 - 1, 10**9 + 1])
async def test_what_no_answer_can_have_is_not_believed_and_costs_nobody_anything(
    tmp_path: pathlib.Path, counted: int
) -> None:
    message = {"role": "assistant", "content": "hi"}
    odd = {"prompt_tokens": 7, "completion_tokens": counted, "total_tokens": 1}
    sane = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    said = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
    async with FakeUpstream() as upstream:
        provider = {"id": "own", "type": "openai-compatible", "base-url": f"{upstream.url}/v1", "models": ["m", "n"]}
        config = {
            "providers": [{**provider, "api-key": "k"}],
            "prices": [{"model": "own/*", "input": 1, "output": 1000}],
            "billing": {"enabled": True, "initial-balance": 100},
        }
        async with managed(tmp_path / "home", config) as running:
            for model, usage in (("m", odd), ("n", odd), ("m", sane)):
                choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
                upstream.on("*", json_reply({**said, "choices": choices, "usage": usage}))
                await asked(running, model)
            report = await running.ask("GET", "/usage?days=1")
            rows = (await running.ask("GET", "/exchanges"))["exchanges"]
            balance = (await running.ask("GET", "/billing?user=local"))["balance"]
    assert (report["total"]["requests"], report["total"]["total_tokens"]) == (3, 12)
    assert [(row["output_tokens"], row["cost"] is None, row["usage_estimated"]) for row in rows] == [
        (5, False, False),
        (0, True, True),
        (0, True, True),
    ]
    assert balance == "99.994993"


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


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ({"format": "csv"}, {}),
        ({}, {"Accept": "text/csv"}),
        ({"format": "csv"}, {"Accept": "application/json"}),
        ({}, {"Accept": "Text/CSV; charset=utf-8, */*;q=0.1"}),
    ],
)
async def test_the_books_come_as_csv_for_whoever_wants_that(
    tmp_path: pathlib.Path, query: dict[str, str], headers: dict[str, str]
) -> None:
    async with managed(tmp_path / "home") as running:
        await asked(running, "demo", "demo", "demo-code")
        wanted = {"days": "1", "group_by": "model", "then_by": "key", **query}
        async with running.client.get("/v0/management/usage", params=wanted, headers=headers) as answer:
            assert (answer.status, answer.headers["Content-Type"]) == (200, "text/csv; charset=utf-8")
            assert answer.headers["Content-Disposition"].endswith('-by-model.csv"')
            assert answer.headers["Cache-Control"] == "no-store"
            lines = list(csv.DictReader(io.StringIO(await answer.text(), newline="")))
        report = await running.ask("GET", "/usage", params={**wanted, "format": "json"})
    figures = [name for name in Sums.__struct_fields__ if name not in ("name", "then")]
    assert list(lines[0]) == ["model", "client_key", *figures]
    told = [
        {"model": line["name"], "client_key": line["then"]} | {name: line[name] for name in figures}
        for line in report["data"]
    ]
    assert lines == [{name: "" if value is None else str(value) for name, value in line.items()} for line in told]


@pytest.mark.parametrize("headers", [{}, {"Accept": "*/*"}, {"Accept": "application/json, text/csv"}])
async def test_everybody_else_gets_json(tmp_path: pathlib.Path, headers: dict[str, str]) -> None:
    async with managed(tmp_path / "home") as running:
        assert (await running.ask("GET", "/usage", headers=headers))["object"] == "usage"
        await running.ask("GET", "/usage?format=xlsx", 400)


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+A1", "'+A1"),
        ("-2", "-2"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\tx", "'\tx"),
        ("-x", "'-x"),
        ('a,"b"\n', 'a,"b"\n'),
        ("", ""),
    ],
)
def test_no_cell_is_a_formula(name: str, cell: str) -> None:
    figures = {each: 0 for each in Sums.__struct_fields__ if each not in ("name", "then", "cost")}
    line, day = Sums(name=name, cost="-0.5", **figures), date(2026, 11, 29)
    text = written(Report(first=day, to=day, group_by="model", data=[line], total=line), None)
    (read,) = csv.DictReader(io.StringIO(text, newline=""))
    assert (read["model"], read["cost"], read["requests"]) == (cell, "-0.5", "0")


async def test_users_are_listed_with_their_balances_and_found_by_a_part_of_their_name(tmp_path: pathlib.Path) -> None:
    async with managed(tmp_path / "home", {"billing": {"enabled": True, "initial-balance": "5"}}) as running:
        assert (await running.ask("GET", "/billing/balances")) == {
            "enabled": True,
            "initial": "5.00",
            "users": [],
            "total": 0,
        }
        for user, amount in (("ann", "1.5"), ("Anna 100%", "2"), ("bob", "-7"), ("c_d", "1")):
            await running.ask("POST", "/billing/credit", json={"user": user, "amount": amount})

        async def listed(**query: str) -> list[tuple[str, str]]:
            found = await running.ask("GET", "/billing/balances", params=query)
            assert found["total"] >= len(found["users"])
            return [(each["user"], each["balance"]) for each in found["users"]]

        assert sorted(await listed()) == [("Anna 100%", "7.00"), ("ann", "6.50"), ("bob", "-2.00"), ("c_d", "6.00")]
        assert {name for name, _ in await listed(like="ANN")} == {"ann", "Anna 100%"}
        for like, names in (("%", ["Anna 100%"]), ("_", ["c_d"]), ("'; --", []), ("x", [])):
            assert [name for name, _ in await listed(like=like)] == names
        assert len(await listed(limit="2")) == len(await listed(limit="2", offset="2")) == 2
        await running.ask("GET", "/billing/balances?limit=0", 400)
        assert (await running.ask("GET", "/billing?user=nobody"))["balance"] == "5.00"
        assert len(await listed()) == 4, "looking gives nobody anything"
