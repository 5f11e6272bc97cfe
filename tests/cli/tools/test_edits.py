"""Settings files of other programs: only what was asked for changes, and what cannot be read is left alone."""

from __future__ import annotations

import json
import tomllib

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from llm_mux.cli.tools.edits import Unreadable, env_values, json_values, toml_values, yaml_values
from llm_mux.cli.tools.table import TOOLS, Wanted

WANTED = Wanted("http://127.0.0.1:8317", "key", "gpt-5")


def test_json_keeps_order_indent_and_what_is_not_named() -> None:
    before = '{\n    "theme": "dark",\n    "env": {"A": "1"},\n    "größe": 1\n}\n'
    after = json_values({"env.ANTHROPIC_BASE_URL": "u"})(before)
    assert json.loads(after) == {"theme": "dark", "env": {"A": "1", "ANTHROPIC_BASE_URL": "u"}, "größe": 1}
    assert list(json.loads(after)) == ["theme", "env", "größe"]
    assert '\n    "theme"' in after
    assert "größe" in after


@pytest.mark.parametrize("text", ["", "  \n", "{}"])
def test_json_may_begin_from_nothing(text: str) -> None:
    assert json.loads(json_values({"a.b": 1})(text)) == {"a": {"b": 1}}


@pytest.mark.parametrize(
    ("text", "why"), [("// mine\n{}", "comments"), ("[1]", "object"), ("{", "line 1"), ('{"env": 3}', "`env`")]
)
def test_json_that_would_be_damaged_is_refused(text: str, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        json_values({"env.A": "1"})(text)


def test_toml_goes_before_the_first_table_and_keeps_comments() -> None:
    before = '# mine\nmodel = "old"\n\n[tools]\nmodel = "not this one"\n'
    after = toml_values({"model": "new", "openai_base_url": "http://x/v1"})(before)
    assert tomllib.loads(after) == {
        "model": "new",
        "openai_base_url": "http://x/v1",
        "tools": {"model": "not this one"},
    }
    assert after.startswith("# mine\n")
    with pytest.raises(Unreadable):
        toml_values({"a": "b"})("= nonsense")


@pytest.mark.parametrize("edit", [toml_values, yaml_values, env_values])
@given(values=st.dictionaries(st.sampled_from(["model", "other"]), st.text("abc/:.-", min_size=1), min_size=1))
def test_the_same_change_twice_changes_nothing_more(edit: object, values: dict[str, str]) -> None:
    once = edit(values)("")  # type: ignore[operator]  # one of the three
    assert edit(values)(once) == once  # type: ignore[operator]


def test_yaml_and_env_lines_are_replaced_in_place() -> None:
    assert yaml.safe_load(yaml_values({"model": "new"})("# mine\nmodel: old\ndark-mode: true\n")) == {
        "model": "new",
        "dark-mode": True,
    }
    assert env_values({"A": "2"})("# mine\nexport A=1\nB=3\n") == "# mine\nA=2\nB=3\n"


@pytest.mark.parametrize("tool", [tool for tool in TOOLS if tool.change is not None], ids=lambda tool: tool.name)
def test_every_change_names_the_daemon_and_the_model_and_is_stable(tool: object) -> None:
    change = tool.change(WANTED)  # type: ignore[attr-defined]
    made = change("")
    assert "http://127.0.0.1:8317" in made
    assert "gpt-5" in made
    assert change(made) == made


@pytest.mark.parametrize("tool", [tool for tool in TOOLS if tool.words is not None], ids=lambda tool: tool.name)
def test_words_stand_where_there_is_no_file(tool: object) -> None:
    assert "key" in tool.words(WANTED)  # type: ignore[attr-defined]
