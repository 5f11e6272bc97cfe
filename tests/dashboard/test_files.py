"""What the dashboard is made of, as a browser gets it: kept for good, packed, small, and with nothing from elsewhere."""

import gzip
import pathlib
import re

import aiohttp
import brotli
import pytest

from llm_mux.server.dashboard.files import ROOT, read, site
from tests.server.conftest import Run, demo

__all__ = ["demo"]

STATIC = pathlib.Path(__file__).parents[2] / "llm_mux" / "server" / "dashboard" / "static"
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
MOST_BYTES = 400_000
# Names of SVG and of licences are no addresses that anybody asks for.
ELSEWHERE = re.compile(rb"""(?:src|href|from|import|url)\s*[(=]?\s*["'(]?\s*(?:https?:)?//[a-z0-9]""", re.IGNORECASE)
INLINE = re.compile(rb"<style|<script(?![^>]*\bsrc=)|\son[a-z]+\s*=|\sstyle\s*=|javascript:", re.IGNORECASE)


async def test_a_browser_gets_the_page_and_a_program_what_it_always_got(demo: Run) -> None:
    async with demo() as mux, aiohttp.ClientSession(mux.url) as client:
        async with client.get("/", headers=BROWSER) as answer:
            assert (answer.status, answer.content_type) == (200, "text/html")
            assert answer.headers["Cache-Control"] == "no-cache"
            assert "Accept" in answer.headers["Vary"]
        for accepted in ("*/*", "application/json", "text/yaml"):
            async with client.get("/", headers={"Accept": accepted}) as answer:
                assert (await answer.json())["status"] == "running"
                assert answer.headers["Vary"] == "Accept"


async def test_everything_that_the_page_names_is_there_and_may_be_kept_for_good(demo: Run) -> None:
    async with demo() as mux, aiohttp.ClientSession(mux.url) as client:
        async with client.get("/", headers=BROWSER) as answer:
            named = re.findall(r'(?:href|src)="(/[^"]+)"', await answer.text())
        assert named
        for address in named:
            assert address.startswith(f"{ROOT}/{site().digest}/"), address
            async with client.get(address) as answer:
                assert answer.status == 200, address
                assert "immutable" in answer.headers["Cache-Control"]
            async with client.get(address.replace(site().digest, "0" * 16)) as answer:
                assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-cache"), "after an upgrade"


async def test_what_is_known_already_is_not_sent_again(demo: Run) -> None:
    async with demo() as mux, aiohttp.ClientSession(mux.url) as client:
        for address in ("/", f"{ROOT}/_/index.html"):
            async with client.get(address, headers=BROWSER) as answer:
                tag = answer.headers["ETag"]
            for known in (tag, f'W/{tag}, "other"', "*"):
                async with client.get(address, headers={**BROWSER, "If-None-Match": known}) as answer:
                    assert (answer.status, await answer.read()) == (304, b"")
            async with client.get(address, headers={**BROWSER, "If-None-Match": '"other"'}) as answer:
                assert answer.status == 200


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [("gzip, deflate, br, zstd", "br"), ("gzip", "gzip"), ("br;q=0, gzip;q=0.5", "gzip"), ("identity", ""), ("", "")],
)
async def test_a_file_comes_packed_as_the_browser_takes_it(demo: Run, accepted: str, coding: str) -> None:
    unpack = {"br": brotli.decompress, "gzip": gzip.decompress, "": bytes}[coding]
    async with demo() as mux, aiohttp.ClientSession(mux.url, auto_decompress=False) as client:
        async with client.get(f"{ROOT}/_/index.html", headers={"Accept-Encoding": accepted}) as answer:
            assert answer.headers.get("Content-Encoding", "") == coding
            assert unpack(await answer.read()) == site().files["index.html"].body


@pytest.mark.parametrize(
    "path", ["nothing.js", "../files.py", "..%2ffiles.py", "%2e%2e/files.py", "index.html%00.js", ""]
)
async def test_there_is_nothing_beside_the_files(demo: Run, path: str) -> None:
    async with demo() as mux, aiohttp.ClientSession(mux.url) as client:
        async with client.get(f"{mux.url}{ROOT}/_/{path}") as answer:
            assert answer.status == 404


async def test_a_page_runs_nothing_but_its_own_files_and_in_no_frame(demo: Run) -> None:
    async with demo() as mux, aiohttp.ClientSession(mux.url) as client:
        async with client.get("/", headers=BROWSER) as answer:
            policy = dict(
                part.strip().partition(" ")[::2] for part in answer.headers["Content-Security-Policy"].split(";")
            )
            headers = answer.headers
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert not [rule for rule in policy.values() if "unsafe" in rule or "*" in rule or ":" in rule.replace("data:", "")]
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Content-Type-Options"] == "nosniff"


async def test_a_strange_host_gets_no_page(demo: Run) -> None:
    async with demo() as mux, aiohttp.ClientSession(mux.url) as client:
        for address in ("/", f"{ROOT}/_/index.html"):
            async with client.get(address, headers={**BROWSER, "Host": "rebound.example"}) as answer:
                assert answer.status == 403


def test_the_files_hold_no_inline_code_and_no_address_of_others() -> None:
    for path in STATIC.rglob("*"):
        if path.suffix in (".html", ".svg"):
            assert INLINE.findall(path.read_bytes()) == [], path.name
        if path.suffix in (".html", ".css", ".js", ".mjs"):
            assert ELSEWHERE.findall(path.read_bytes()) == [], path.name


def test_every_file_is_of_a_type_that_is_served_and_is_packaged() -> None:
    import tomllib

    setup = tomllib.loads((STATIC.parents[3] / "pyproject.toml").read_text(encoding="utf-8"))
    globs = setup["tool"]["setuptools"]["package-data"]["llm_mux"]
    on_disk = {path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*") if path.is_file()}
    assert on_disk == set(site().files)
    assert [path for path in on_disk if f"**/*.{path.rpartition('.')[2]}" not in globs] == []


def test_all_of_it_is_small() -> None:
    sent = {path: len(file.coded(file.coding("br"))) for path, file in site().files.items()}
    assert sum(sent.values()) < MOST_BYTES, sent


def test_one_changed_byte_changes_every_address(tmp_path: pathlib.Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "index.html").write_text(
        '<script type="module" src="/dashboard/_/lib/a.js"></script>', encoding="utf-8"
    )
    script = tmp_path / "lib" / "a.js"
    digests = set()
    for text in ("1", "2"):
        script.write_text(text, encoding="utf-8")
        found = read(tmp_path)
        digests.add(found.digest)
        assert f'src="/dashboard/{found.digest}/lib/a.js"' in found.files["index.html"].body.decode()
    assert len(digests) == 2
