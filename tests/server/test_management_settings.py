"""The configuration, debug records and the log over the management API."""

import gzip
import io
import pathlib
from typing import Any

import pytest

from llm_mux import log
from llm_mux.server.serving import DAEMON
from tests.server.management import ROOT, managed

TEXT = """\
# Ünïcode first, so that places count characters
host: 127.0.0.1
port: 0
discover: false
proxy-url: 'http://user:plant-proxy-pass@127.0.0.1:1'  # sk-plant-in-a-comment-123456
api-keys: ["plant-client-key", env:TEAM]
disable-auth: true
providers:
- type: openai-compatible
  id: up
  base-url: http://127.0.0.1:9/v1
  api-keys:
  - plant-plain
  - {key: "plant-quoted", label: two}
  headers: {authorization: plant-header, x-team: blue}
"""
PLANTS = [word for word in TEXT.replace('"', " ").replace(",", " ").split() if "plant-" in word]


def put(text: str) -> dict[str, Any]:
    return {"data": text.encode(), "headers": {"Content-Type": "application/yaml"}}


async def text_of(mux: Any) -> str:
    async with mux.client.get(f"{ROOT}/config.yaml") as answer:
        assert answer.status == 200
        assert answer.content_type == "application/yaml"
        return str(await answer.text())


async def test_the_file_is_shown_without_secrets_and_comes_back_whole(tmp_path: pathlib.Path) -> None:
    async with managed(tmp_path, TEXT) as mux:
        shown = await text_of(mux)
        assert "plant" not in shown
        assert "# Ünïcode first" in shown
        assert "x-team: blue" in shown
        assert "env:TEAM" in shown
        await mux.ask("PUT", "/config.yaml", **put(shown))
        assert mux.file.read_text(encoding="utf-8") == TEXT


async def test_an_edited_text_keeps_the_secrets_wherever_they_are_moved(tmp_path: pathlib.Path) -> None:
    async with managed(tmp_path, TEXT) as mux:
        shown = await text_of(mux)
        first, second = (line for line in shown.splitlines() if line.lstrip().startswith(('- "***', "- {key:")))
        swapped = shown.replace(first, "@").replace(second, first).replace("@", second) + "strict: true\n"
        state = await mux.ask("PUT", "/config.yaml", **put(swapped))
        assert (state["error"], state["needs_restart"]) == (None, [])
        written = mux.file.read_text(encoding="utf-8")
        assert written.index("plant-quoted") < written.index("plant-plain")
        assert written.endswith("strict: true\n")
        now = await mux.ask("GET", "/config")
        assert now["config"]["strict"] is True
        assert "plant" not in str(now)


async def test_a_mark_of_a_secret_that_is_gone_is_refused_with_its_line(tmp_path: pathlib.Path) -> None:
    async with managed(tmp_path, TEXT) as mux:
        shown = await text_of(mux)
        await mux.ask("PUT", "/config.yaml", **put("port: 0\nhost: 127.0.0.1\ndiscover: false\n"))
        error = await mux.ask("PUT", "/config.yaml", status=400, **put(shown))
        assert error["error"]["message"].startswith("config.yaml:5:12: this stands for a secret")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("port: 0\nalases: {}\n", ":2:1: "),
        ("port: x\n", ":1:7: "),
        ("aliases: {a: b, b: a}\n", "in a circle"),
        ("a: [\n", "not valid YAML"),
        ("".join(f"k{n}: &k{n} [{', '.join([f'*k{n - 1}'] * 20) if n else 'x'}]\n" for n in range(9)), "after aliases"),
        ("[" * 500, "nested deeper"),
        ("- a\n", "must be a mapping"),
        ("host: 0.0.0.0\n", "without a key"),
    ],
    ids=lambda value: str(value)[:20],
)
async def test_what_cannot_be_used_is_refused_with_its_place_and_changes_nothing(
    tmp_path: pathlib.Path, text: str, said: str
) -> None:
    async with managed(tmp_path, TEXT) as mux:
        before = await mux.ask("GET", "/config")
        error = await mux.ask("PUT", "/config.yaml", status=400, **put(text))
        assert error["error"]["code"] == "invalid_config"
        assert said in error["detail"]
        assert mux.file.read_text(encoding="utf-8") == TEXT
        assert await mux.ask("GET", "/config") == before


async def test_ten_megabytes_and_broken_text_are_refused(tmp_path: pathlib.Path) -> None:
    async with managed(tmp_path, TEXT) as mux:
        await mux.ask("PUT", "/config.yaml", status=413, data=io.BytesIO(b"#" * (10 << 20)))
        await mux.ask("PUT", "/config.yaml", status=400, data=b"\xff\xfe\x00a")
        assert mux.file.read_text(encoding="utf-8") == TEXT


@pytest.mark.parametrize(
    ("coding", "status"), [("gzip", 400), ("br", 400), ("zstd", 400), ("odd", 415), ("gzip, gzip", 415)]
)
async def test_a_body_that_is_not_what_it_says_is_the_clients_mistake(
    tmp_path: pathlib.Path, coding: str, status: int
) -> None:
    seen = log.ring.last
    odd = {"data": b'{"user": "ann", "amount": "5"}', "headers": {"Content-Encoding": coding}}
    async with managed(tmp_path, TEXT) as mux:
        for method, path in (("PUT", "/config.yaml"), ("POST", "/billing/credit"), ("PUT", "/api-keys")):
            await mux.ask(method, path, status=status, **odd)
            await mux.ask("GET", "/version")
        async with mux.bare.post("/api/show", **odd) as answer:
            assert answer.status == status
        async with mux.bare.get("/healthz") as answer:
            assert answer.status == 200
        assert mux.file.read_text(encoding="utf-8") == TEXT
        packed = {"data": gzip.compress((TEXT + "# packed\n").encode()), "headers": {"Content-Encoding": "gzip"}}
        await mux.ask("PUT", "/config.yaml", **packed)
        assert mux.file.read_text(encoding="utf-8") == TEXT + "# packed\n"
    assert log.ring.after(seen, limit=100, level="error") == []


async def test_every_problem_of_a_text_is_named(tmp_path: pathlib.Path) -> None:
    async with managed(tmp_path, TEXT) as mux:
        error = await mux.ask("PUT", "/config.yaml", status=400, **put("port: x\nstrict: 7\nnonsense: 1\n"))
        assert len(error["detail"].splitlines()) == 3


async def test_the_version_before_is_kept_and_comes_back(tmp_path: pathlib.Path) -> None:
    async with managed(tmp_path, TEXT) as mux:
        await mux.ask("POST", "/config.yaml/restore", status=404)
        await mux.ask("PUT", "/config.yaml", **put("port: 0\nhost: 127.0.0.1\ndiscover: false\nstrict: true\n"))
        await mux.ask("POST", "/config.yaml/restore")
        assert mux.file.read_text(encoding="utf-8") == TEXT
        assert (await mux.ask("GET", "/config"))["config"]["strict"] is False
        await mux.ask("POST", "/config.yaml/restore")
        assert (await mux.ask("GET", "/config"))["config"]["strict"] is True


async def test_the_key_works_as_a_bearer_too_and_not_in_the_address(tmp_path: pathlib.Path) -> None:
    async with managed(tmp_path) as mux:
        async with mux.bare.get(f"{ROOT}/debug", headers={"Authorization": f"Bearer {mux.key}"}) as answer:
            assert answer.status == 200
        for query in (f"key={mux.key}", f"X-Management-Key={mux.key}"):
            async with mux.bare.get(f"{ROOT}/debug?{query}") as answer:
                assert answer.status == 401
                found = await answer.json()
        assert found["code"] == 401
        assert found["error_type"] == found["error"]["type"] == "authentication_error"
        assert found["detail"] == found["error"]["message"]


async def test_debug_records_are_switched_on_and_off(tmp_path: pathlib.Path) -> None:
    async with managed(tmp_path) as mux:
        try:
            assert await mux.ask("GET", "/debug") == {"value": False}
            assert await mux.ask("PUT", "/debug", json={"value": True}) == {"value": True}
            assert log.debugging()
            for wrong in ({"value": "yes"}, {"value": None}, {}, [], {"value": True, "more": 1}):
                await mux.ask("PUT", "/debug", status=400, json=wrong)
            assert await mux.ask("GET", "/debug") == {"value": True}
        finally:
            log.set_debug(False)


async def test_the_log_is_read_from_where_one_left_off_and_emptied(tmp_path: pathlib.Path) -> None:
    async with managed(tmp_path) as mux:
        log.configure(file=tmp_path / "log" / "llm-mux.log")
        try:
            log.logger.warning("test.first", token="plant-token", text="sk-plant-very-secret-1")
            first = await mux.ask("GET", "/logs?limit=1&level=warning")
            assert [record["event"] for record in first["records"]] == ["test.first"]
            assert "plant" not in str(first)
            log.logger.info("test.second")
            after = await mux.ask("GET", f"/logs?after={first['last']}")
            assert [record["event"] for record in after["records"]] == ["test.second"]
            from_file = await mux.ask("GET", "/logs?source=file&limit=2")
            assert [record["event"] for record in from_file["records"]] == ["test.first", "test.second"]
            await mux.ask("DELETE", "/logs")
            assert [r["event"] for r in (await mux.ask("GET", "/logs"))["records"]] == ["log.cleared"]
            assert "test.first" not in (tmp_path / "log" / "llm-mux.log").read_text()
        finally:
            log.configure()


async def test_an_exchange_that_ended_before_the_log_was_emptied_is_not_in_it(tmp_path: pathlib.Path) -> None:
    async with managed(tmp_path) as mux:
        log.configure(file=tmp_path / "log" / "llm-mux.log")
        try:
            asked = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}
            async with mux.bare.post("/v1/chat/completions", json=asked) as answer:
                assert answer.status == 200
            await mux.ask("DELETE", "/logs")
            mux.app[DAEMON].parts.books.flush()
            assert [r["event"] for r in (await mux.ask("GET", "/logs"))["records"]] == ["log.cleared"]
            assert "exchange.done" not in (tmp_path / "log" / "llm-mux.log").read_text()
        finally:
            log.configure()


@pytest.mark.parametrize(
    "query",
    [
        "limit=-1",
        "limit=0",
        "limit=99999999999999999999",
        "after=-1",
        "after=x",
        "level=loud",
        "nothing=1",
        "limit=1&limit=2",
        "limit=%00",
        "level='; DROP TABLE x",
    ],
)
async def test_a_query_that_makes_no_sense_is_a_400(tmp_path: pathlib.Path, query: str) -> None:
    async with managed(tmp_path) as mux:
        error = await mux.ask("GET", f"/logs?{query}", status=400)
        assert error["error_type"] == "validation_error"


async def test_a_file_that_is_a_link_stays_one(tmp_path: pathlib.Path) -> None:
    async with managed(tmp_path / "home", TEXT) as mux:
        real = tmp_path / "dotfiles.yaml"
        mux.file.replace(real)
        mux.file.symlink_to(real)
        await mux.ask("PUT", "/config.yaml", **put(TEXT + "strict: true\n"))
        assert mux.file.is_symlink()
        assert real.read_text(encoding="utf-8").endswith("strict: true\n")


async def test_a_page_of_the_daemons_own_host_may_and_any_other_may_not(tmp_path: pathlib.Path) -> None:
    """Also where the host is no loopback one, and also where other pages may use the models."""
    text = TEXT + "allowed-hosts: [mux.lan]\nallowed-origins: ['http://chat.lan']\n"
    async with managed(tmp_path, text) as mux:
        for host, origin, status in (
            ("mux.lan", "http://mux.lan", 200),
            ("mux.lan", "http://chat.lan", 403),
            ("mux.lan", "http://localhost:3000", 403),
            ("evil.example", "http://evil.example", 403),
        ):
            page = {"Host": host, "Origin": origin}
            async with mux.client.put(f"{ROOT}/debug", json={"value": False}, headers=page) as answer:
                assert answer.status == status, (host, origin)
                assert "Access-Control-Allow-Origin" not in answer.headers
