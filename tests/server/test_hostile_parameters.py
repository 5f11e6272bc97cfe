"""Every parameter of every route, as the OpenAPI document names them, with what attackers and mistakes put into them:
a clear 4xx or a name that nobody has, never a 5xx, and nothing changed."""

import pathlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select, text

from llm_mux.ledger.schema import metadata
from llm_mux.server.openapi import document
from llm_mux.server.serving import DAEMON
from tests.server.management import Managed, managed

SQL = ["'; DROP TABLE exchanges; --", '" OR "1"="1', "1; DELETE FROM balances", "\\'); --", "%_\x00"]
CONFIG = {"billing": {"enabled": True, "initial-balance": "5"}}
LEFT_OUT = ("/live", "/test-connection", "/reload", "/logs", "/debug", "/restore", "{tail}", "/test")
"""They wait, ask providers, or do what is to be done without a parameter."""


def operations(found: dict[str, Any], *methods: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, each in found["paths"].items():
        for method, told in each.items():
            if method in methods and not path.endswith(LEFT_OUT):
                yield method.upper(), path, told


async def state(mux: Managed) -> tuple[str, dict[str, list[Any]]]:
    """The configuration file, and every row of every table."""
    parts = mux.app[DAEMON].parts
    assert await parts.writer.catch_up()
    async with parts.database.read() as connection:
        tables = {
            name: sorted((tuple(row) for row in (await connection.execute(select(table))).all()), key=str)
            for name, table in metadata.tables.items()
            if name != "ledger_writers"
        }
    return mux.file.read_text(), tables


async def asked(mux: Managed, method: str, path: str, **more: Any) -> tuple[int, str]:
    async with mux.client.request(method, path, **more) as answer:
        said = await answer.text(errors="replace")
        assert answer.status < 500 or path == "/ready", (method, path, more, answer.status, said)
        return answer.status, said


async def used(mux: Managed) -> None:
    """Something in every table that a request can reach."""
    chat = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}
    assert (await asked(mux, "POST", "/v1/chat/completions", json=chat))[0] == 200
    await mux.ask("PUT", "/api-keys", json={"name": "ci"})
    await mux.ask("POST", "/billing/credit", json={"user": "ann", "amount": "3"})
    # Otherwise the daemon notes its accounts when it looks the next time, amid what is tried.
    await mux.app[DAEMON].parts.account_notes.note(everything=True)


@pytest.mark.parametrize("words", SQL)
async def test_sql_in_every_parameter_is_a_name_that_nobody_has(tmp_path: pathlib.Path, words: str) -> None:
    async with managed(tmp_path / "home", CONFIG) as mux:
        await used(mux)
        before = await state(mux)
        tried = 0
        for method, path, told in operations(document(mux.app), "get", "delete"):
            names = [each["name"] for each in told["parameters"] if each["in"] == "query"]
            at = re.sub(r"\{version\}", "v1beta", path)
            at = re.sub(r"\{\w+\}", words.replace("\x00", "%00").replace("/", ""), at)
            if at != path:
                await asked(mux, method, at)
                tried += 1
            if method == "DELETE" and "api-keys" not in path and "cooldowns" not in path:
                continue
            for name in names:
                await asked(mux, method, re.sub(r"\{\w+\}", "x", path), params={name: words})
                tried += 1
        assert tried > 40
        file, tables = await state(mux)
        assert file == before[0]
        for name, rows in before[1].items():
            assert tables[name] == rows, name
        async with mux.app[DAEMON].parts.database.read() as connection:
            assert (await connection.execute(text("PRAGMA integrity_check"))).scalar() == "ok"


@pytest.mark.parametrize("words", SQL)
async def test_sql_in_every_field_of_a_body_is_refused_or_kept_as_it_is(tmp_path: pathlib.Path, words: str) -> None:
    async with managed(tmp_path / "home", CONFIG) as mux:
        await used(mux)
        _, before = await state(mux)
        found = document(mux.app)
        for method, path, told in operations(found, "post", "put", "patch"):
            content = told.get("requestBody", {}).get("content", {}).get("application/json")
            if content is None or "/v0/management" not in path:
                continue
            schema = found["components"]["schemas"].get(content["schema"].get("$ref", "").rpartition("/")[2], {})
            strings = [name for name, each in schema.get("properties", {}).items() if "string" in str(each)]
            body = dict.fromkeys(strings, words) | {
                name: 1 for name in schema.get("required", []) if name not in strings
            }
            await asked(mux, method, re.sub(r"\{\w+\}", "x", path), json=body)
        _, after = await state(mux)
        assert after.keys() == before.keys()
        for name, rows in before.items():
            assert [row for row in rows if row not in after[name]] == [], name


NUMBERS = ["-1", "1e400", "99999999999999999999999999", "NaN", "0x10", "1;2", "", "%D9%A1%00"]


@pytest.mark.parametrize("number", NUMBERS)
async def test_numbers_and_days_that_cannot_be_are_a_400_that_names_them(tmp_path: pathlib.Path, number: str) -> None:
    async with managed(tmp_path / "home", CONFIG) as mux:
        tried = 0
        for method, path, told in operations(document(mux.app), "get"):
            for each in told["parameters"]:
                schema = str(each["schema"])
                if each["in"] != "query" or not ("integer" in schema or "'format': 'date'" in schema):
                    continue
                at = re.sub(r"\{\w+\}", "x", path)
                status, said = await asked(mux, method, at, params={each["name"]: number, **needed(told, each)})
                assert (status, each["name"] in said) == (400, True), (path, each["name"], said)
                tried += 1
        assert tried >= 12
        for path in ("/v1/usage", "/v0/management/usage"):
            assert (await asked(mux, "GET", f"{path}?from=2026-02-02&to=2026-02-01"))[0] == 400


def needed(told: dict[str, Any], other: dict[str, Any]) -> dict[str, str]:
    """Something sane for the other parameters that have to be there."""
    return {
        each["name"]: "x"
        for each in told["parameters"]
        if each["required"] and each is not other and each["in"] == "query"
    }
