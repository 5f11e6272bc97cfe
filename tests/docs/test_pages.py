"""docs/: one page a tool and a provider, as the records are now; links lead somewhere; quoted messages exist."""

from __future__ import annotations

import pathlib
import re

import pytest

from llm_mux.cli.root import COMMANDS
from llm_mux.cli.tools.table import TOOLS
from llm_mux.providers import registry
from scripts.pages import CHECKED, DOCS, NOTES, pages

ROOT = DOCS.parent
ALL = [*sorted(DOCS.rglob("*.md")), ROOT / "README.md"]
LINK = re.compile(r"\]\(([^)#\s]+\.(?:md|yaml))(?:#[^)]*)?\)")
MESSAGE = re.compile(r"^## `(.+)`$", re.MULTILINE)


def test_the_pages_are_as_the_records_are() -> None:
    made = pages()
    assert {path: (DOCS / path).read_text(encoding="utf-8") for path in made} == made, "python -m scripts.pages"
    folders = {
        path.relative_to(DOCS).as_posix() for folder in ("tools", "providers") for path in (DOCS / folder).iterdir()
    }
    assert folders == set(made)


def test_every_tool_and_provider_has_its_page() -> None:
    assert set(CHECKED) == set(NOTES) == {tool.name for tool in TOOLS}
    assert {f"tools/{tool.name}.md" for tool in TOOLS} <= set(pages())
    assert {f"providers/{name}.md" for name in registry.load(plugins=False)} <= set(pages())


def test_the_index_names_every_page() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    beside = {path.name for path in DOCS.glob("*.md")} - {"index.md", "status.md"}
    assert {name for name in beside if f"({name})" not in index} == set()


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: pathlib.Path) -> None:
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


def test_every_decision_has_a_number_of_its_own() -> None:
    decisions = sorted((DOCS / "decisions").glob("*.md"))
    assert [path.name[:4] for path in decisions] == [f"{number:04}" for number in range(1, len(decisions) + 1)]


def source() -> str:
    """All string constants of the program, run together."""
    return " ".join(path.read_text(encoding="utf-8") for path in (ROOT / "llm_mux").rglob("*.py"))


def test_every_message_of_troubleshooting_is_said_by_the_program() -> None:
    """A message stands there with `…` for what differs; each piece between is in the code."""
    code = source()
    messages = MESSAGE.findall((DOCS / "troubleshooting.md").read_text(encoding="utf-8"))
    assert len(messages) >= 12
    pieces = [(message, piece.strip()) for message in messages for piece in message.split("…") if piece.strip()]
    assert [found for found in pieces if found[1] not in code] == []


def test_every_command_that_pages_name_exists() -> None:
    named = {word for page in ALL for word in re.findall(r"`llm-mux ([a-z]+)", page.read_text(encoding="utf-8"))}
    assert named - set(COMMANDS) == set()
