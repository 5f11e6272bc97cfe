"""`llm-mux usage`, `prices` and `logs`, over a database, a server and a log file of their own."""

import asyncio
import csv
import io
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from llm_mux import paths
from llm_mux.cli.logs import Tail
from llm_mux.cli.usage import bar
from llm_mux.ledger import price_book
from llm_mux.ledger.database import Database
from llm_mux.ledger.writer import Writer
from tests.cli.running import Run
from tests.ledger.samples import exchange

PUBLISHED = b"""[{"id": "openai", "models": [
    {"id": "gpt-9", "match": {"equals": "gpt-9"}, "prices": {"input_mtok": 1.5, "output_mtok": 6}}]}]"""


@pytest.fixture
def books(home: Path) -> None:
    async def write() -> None:
        database = Database(paths.data_dir() / "llm-mux.sqlite")
        writer = Writer(database)
        for row in (
            exchange("a", cost=2 * 10**12, client_key="laptop"),
            exchange("b", cost=10**12, model_served="gpt-5", provider="openai"),
            exchange("c", cost=None, model_served="=cmd()", provider="own", status=500, error_kind="upstream_error"),
        ):
            writer.record(row)
        await writer.close()
        await database.close()

    asyncio.run(write())


DAYS = ("--from", "2026-09-01", "--to", "2026-09-30")


def test_tables_show_days_and_models_with_their_cost(books: None, run: Run) -> None:
    done = run("usage", *DAYS)
    assert done.code == 0
    lines = [line.split() for line in done.out.splitlines() if line.strip()]
    assert lines[1][:3] == ["2026-09-21", "3", "1"]
    assert "$3.00" in lines[1]
    assert [line[0] for line in lines[3:6]] == ["claude-sonnet-4-5", "gpt-5", "=cmd()"]
    assert lines[3][-1].count("█") == 2 * lines[4][-1].count("█") == 8
    assert "?" in lines[5]
    assert "3 requests, 90 tokens, $3.00, 1 failed, 1 without a known price" in " ".join(done.out.split())


def test_json_has_exact_costs_and_each_group_that_was_asked_for(books: None, run: Run) -> None:
    told = json.loads(run("usage", *DAYS, "--by", "account", "--by", "key", "--json").out)
    assert {line["name"]: line["cost"] for line in told["account"]} == {
        "anthropic/work": "2.000000000000",
        "openai/work": "1.000000000000",
        "own/work": None,
    }
    assert {line["name"]: line["requests"] for line in told["client_key"]} == {"": 2, "laptop": 1}
    assert told["total"]["cost"] == "3.000000000000"


def test_csv_holds_no_formulas(books: None, run: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(run("usage", *DAYS, "--by", "model", "--csv").out)))
    assert [(row["group"], row["name"], row["requests"]) for row in rows] == [
        ("model", "'=cmd()", "1"),
        ("model", "claude-sonnet-4-5", "1"),
        ("model", "gpt-5", "1"),
    ]


def test_filters_narrow_it(books: None, run: Run) -> None:
    assert json.loads(run("usage", *DAYS, "--provider", "openai", "--json").out)["total"]["requests"] == 1
    assert json.loads(run("usage", *DAYS, "--key", "nobody", "--json").out)["total"] is None


def test_exchanges_are_listed_newest_first(books: None, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    done = run("usage", *DAYS, "--exchanges")
    assert done.code == 0
    lines = [line.split() for line in done.out.splitlines() if line.strip()]
    assert [" ".join(line[2:]) for line in lines[1:]] == [
        "=cmd() own/work 500 upstream_error 10 20 ? 1.50",
        "gpt-5 openai/work 200 10 20 $1 1.50",
        "laptop claude-sonnet-4-5 anthropic/work 200 10 20 $2 1.50",
    ]


def test_exchanges_come_as_json_and_csv_as_many_as_are_wanted(
    books: None, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llm_mux.cli.exchanges._PAGE", 2)
    rows = json.loads(run("usage", *DAYS, "--exchanges", "--json").out)
    assert [(row["request_id"], row["cost"]) for row in rows] == [
        ("c", None),
        ("b", "1.000000000000"),
        ("a", "2.000000000000"),
    ]
    assert json.loads(run("usage", *DAYS, "--exchanges", "--json", "--model", "none").out) == []
    for arguments, named in (
        (("-n", "1"), "c"),
        (("-n", "0"), "cba"),
        (("--key", "laptop"), "a"),
        (("--outcome", "failed"), "c"),
    ):
        table = list(csv.DictReader(io.StringIO(run("usage", *DAYS, "--exchanges", "--csv", *arguments).out)))
        assert "".join(row["request_id"] for row in table) == named
    (failed,) = table
    assert failed["model_served"] == "'=cmd()"


def test_without_exchanges_there_is_nothing_to_list(run: Run) -> None:
    done = run("usage", "--exchanges")
    assert (done.code, done.out) == (0, "no exchange of these days is in the books\n")


def test_without_exchanges_it_says_so(run: Run) -> None:
    done = run("usage", "--days", "1")
    assert (done.code, "nothing was used on" in done.out) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--days", "0"), "0 is not in the range"),
        (("--from", "2026-09-02", "--to", "2026-09-01"), "is after"),
        (("--from", "soon"), "must be a date"),
        (("--days", "3", "--from", "2026-09-01"), "not both"),
        (("--json", "--csv"), "exclude each other"),
        (("--by", "moon"), "moon"),
        (("--by", "day", "--exchanges"), "exclude each other"),
        (("--outcome", "ok"), "are for --exchanges"),
        (("--limit", "5"), "are for --exchanges"),
    ],
)
def test_what_makes_no_sense_is_bad_usage(run: Run, arguments: tuple[str, ...], said: str) -> None:
    done = run("usage", *arguments)
    assert (done.code, said in done.err) == (2, True), done.err


@pytest.mark.parametrize(
    ("value", "most", "drawn"), [(4, 4, "████"), (1, 4, "█"), (0, 4, ""), (0.001, 4, "▏"), (2.5, 4, "██▌"), (1, 0, "▏")]
)
def test_a_bar_is_as_long_as_its_share(value: float, most: float, drawn: str) -> None:
    assert bar(value, most, width=4) == drawn


@pytest.fixture
def published() -> Iterator[str]:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/data.json"
            self.send_response(200 if found else 404)
            self.end_headers()
            self.wfile.write(PUBLISHED if found else b"")

        def log_message(self, *arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_newer_price_book_is_taken_from_a_url_or_a_file_and_given_up_again(
    run: Run, published: str, tmp_path: Path
) -> None:
    assert run("prices", "show", "gpt-9").code == 1
    assert run("prices", "update", f"{published}/data.json").code == 0
    assert "$1.5" in run("prices", "show", "gpt-9").out
    assert run("prices", "show", "claude-sonnet-4-5").code == 1
    assert run("prices", "reset").code == 0
    (tmp_path / "mine.json").write_bytes(PUBLISHED)
    assert run("prices", "update", str(tmp_path / "mine.json")).code == 0
    assert json.loads(run("prices", "show", "openai/gpt-9", "--json").out)["openai"]["prompt"] == "0.0000015"
    assert price_book.current(paths.prices_file()).source == "genai-prices"


def test_what_is_no_price_book_replaces_nothing(run: Run, published: str, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<html>")
    for source in (str(tmp_path / "page.html"), f"{published}/gone", "http://prices.example/x", "no/such/file"):
        done = run("prices", "update", source)
        assert (done.code, done.err.count("\n")) == (1, 1), done.err
    assert not paths.prices_file().exists()
    assert "$3" in run("prices", "show", "anthropic/claude-sonnet-4-5").out


def _log(*records: object) -> Path:
    file = paths.private_dir(paths.log_dir()) / "llm-mux.log"
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    file.write_text("\n".join(lines) + "\n")
    return file


RECORDS = (
    {"timestamp": "2026-09-21T14:13:20.250Z", "level": "info", "event": "exchange.done", "model": "m", "error": None},
    {
        "timestamp": "2026-09-21T14:13:21.250Z",
        "level": "error",
        "event": "request.broken",
        "why": "a b",
        "x": "\x1b[2J",
    },
    "a line that is no JSON",
)


def test_the_log_is_shown_readable_by_level_and_text(run: Run) -> None:
    assert run("logs").code == 1
    _log(*RECORDS)
    whole = run("logs").out.splitlines()
    assert whole[0].split() == ["14:13:20.250", "info", "exchange.done", "model=m"]
    assert 'why="a b"' in whole[1] and "\x1b[2J" not in whole[1]
    assert whole[2] == "a line that is no JSON"
    assert len(run("logs", "-n", "1").out.splitlines()) == 1
    assert "exchange.done" not in run("logs", "--level", "warning").out
    assert run("logs", "--grep", "broken", "--json").out == json.dumps(RECORDS[1]) + "\n"


def test_a_tail_takes_whole_lines_and_follows_a_file_that_was_moved_away(home: Path) -> None:
    file = _log("first")
    tail = Tail(file)
    assert list(tail.new()) == ["first"]
    with file.open("a") as stream:
        stream.write("half")
        stream.flush()
        assert list(tail.new()) == []
        stream.write(" and half\n")
    assert list(tail.new()) == ["half and half"]
    file.rename(file.with_suffix(".1"))
    assert list(tail.new()) == []
    _log("fresh")
    assert list(tail.new()) == ["fresh"]


def test_following_shows_what_comes(home: Path) -> None:
    file = _log("first")
    command = [sys.executable, "-m", "llm_mux", "logs", "-f"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "first\n"
        with file.open("a") as stream:
            stream.write("second\n")
        assert child.stdout.readline() == "second\n"
        child.terminate()
