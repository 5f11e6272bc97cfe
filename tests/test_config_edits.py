"""Aliases and fallbacks changed in the text of a file: what is wanted is there, and everything else as it was written."""

from dataclasses import dataclass, field

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from llm_mux.config.edits import Unedited, with_mapping


@dataclass(frozen=True)
class Case:
    id: str
    before: str
    wanted: dict[str, str | list[str]]
    after: str
    key: str = "aliases"
    notes: tuple[str, ...] = field(default=())


CASES = [
    Case("nothing there", "port: 0\n", {"a": "x"}, "port: 0\naliases:\n  a: x\n"),
    Case("an empty file", "", {"a": "x"}, "aliases:\n  a: x\n"),
    Case("only a comment", "# mine", {"a": "x"}, "# mine\naliases:\n  a: x\n"),
    Case("no newline at the end", "port: 0", {"a": "x"}, "port: 0\naliases:\n  a: x\n"),
    Case("empty braces", "aliases: {}  # none yet\nport: 0\n", {"a": "x"}, "aliases:\n  a: x  # none yet\nport: 0\n"),
    Case("a key without a value", "aliases:\nport: 0\n", {"a": "x"}, "aliases:\n  a: x\nport: 0\n"),
    Case(
        "a new one after the last",
        "aliases:\n  # quick ones\n  a: x  # why\n\n# ports\nport: 0\n",
        {"a": "x", "b": "y"},
        "aliases:\n  # quick ones\n  a: x  # why\n  b: y\n\n# ports\nport: 0\n",
    ),
    Case(
        "one changed among others",
        "aliases:\n    a: 'x'  # one\n    b: \"y\" # two\nport: 0\n",
        {"a": "x", "b": "gemini://z"},
        "aliases:\n    a: 'x'  # one\n    b: gemini://z # two\nport: 0\n",
    ),
    Case(
        "one gone", "aliases:\n  a: x\n  # of b\n  b: y\nport: 0\n", {"b": "y"}, "aliases:\n  # of b\n  b: y\nport: 0\n"
    ),
    Case("all gone", "port: 0\naliases:\n  a: x\n  b: y\n# end\n", {}, "port: 0\naliases: {}\n# end\n"),
    Case("on one line", "aliases: {a: x, b: y}\nport: 0\n", {"a": "z"}, "aliases:\n  a: z\nport: 0\n"),
    Case(
        "names that need quotes",
        "aliases:\n  a: x\n",
        {"a": "x", "yes": "no", "*-mini": "1.5", "é: #": "- x"},
        "aliases:\n  a: x\n  'yes': 'no'\n  '*-mini': '1.5'\n  'é: #': '- x'\n",
    ),
    Case(
        "lists in a block",
        "fallbacks:\n  a:  # of a\n    - x\n    - y  # last\n  b: [z]\nport: 0\n",
        {"a": ["y"], "b": ["z", "x"], "c": ["q"]},
        "fallbacks:\n  a:  # of a\n    - y  # last\n  b: [z, x]\n  c: [q]\nport: 0\n",
        key="fallbacks",
    ),
    Case("what is so already", "aliases: {  a:   x }\n", {"a": "x"}, "aliases: {  a:   x }\n"),
    Case("windows lines", "port: 0\r\naliases:\r\n  a: x\r\n", {"a": "y"}, "port: 0\r\naliases:\r\n  a: y\r\n"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_only_what_is_wanted_changes(case: Case) -> None:
    assert with_mapping(case.before, case.key, case.wanted) == case.after


@pytest.mark.parametrize(
    "text",
    [
        "aliases: &one {a: x}\nother: *one\n",
        "aliases:\n  <<: &b {x: y}\n  a: x\n",
        "{port: 0}\n",
        "- a\n- b\n",
        "a: [\n",
    ],
)
def test_a_text_that_it_does_not_understand_is_refused(text: str) -> None:
    with pytest.raises(Unedited):
        with_mapping(text, "aliases", {"new": "x"})


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=12)
MAPPINGS = st.dictionaries(NAMES, NAMES | st.lists(NAMES, min_size=1, max_size=3), max_size=5)


@given(before=MAPPINGS, after=MAPPINGS, flow=st.booleans())
def test_whatever_was_there_becomes_whatever_is_wanted(
    before: dict[str, str], after: dict[str, str], flow: bool
) -> None:
    written = yaml.safe_dump(before, default_flow_style=flow, allow_unicode=True, width=2**20)
    there = f" {written}" if flow or not before else "\n" + "".join(f"  {line}\n" for line in written.splitlines())
    text = f"# first\nport: 0  # of it\naliases:{there}"
    text += "strict: true\n# last\n"
    changed = with_mapping(text, "aliases", after)
    assert yaml.safe_load(changed) == {"port": 0, "aliases": after, "strict": True}
    assert changed.startswith("# first\nport: 0  # of it\n")
    assert changed.endswith("strict: true\n# last\n")
