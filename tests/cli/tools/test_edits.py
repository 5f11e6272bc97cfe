"""Settings files of other programs: only what was asked for changes, and what cannot be read is left alone."""

from __future__ import annotations

import json
import tomllib

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from llm_mux.cli.tools import jsonc
from llm_mux.cli.tools.edits import Unreadable, env_values, json_values, toml_values, yaml_item, yaml_values
from llm_mux.cli.tools.reversal import taken_back
from llm_mux.cli.tools.table import TOOLS, Settings, Tool, Wanted

WANTED = Wanted("http://127.0.0.1:8317", "key", "gpt-5")


def test_json_keeps_order_indent_and_what_is_not_named() -> None:
    before = '{\n    "theme": "dark",\n    "env": {"A": "1"},\n    "größe": 1\n}\n'
    after = json_values({("env", "ANTHROPIC_BASE_URL"): "u"})(before)
    assert json.loads(after) == {"theme": "dark", "env": {"A": "1", "ANTHROPIC_BASE_URL": "u"}, "größe": 1}
    assert list(json.loads(after)) == ["theme", "env", "größe"]
    assert '\n    "theme"' in after
    assert "größe" in after


@pytest.mark.parametrize("text", ["", "  \n", "{}"])
def test_json_may_begin_from_nothing(text: str) -> None:
    assert json.loads(json_values({("a", "b"): 1})(text)) == {"a": {"b": 1}}


@pytest.mark.parametrize(("text", "why"), [("[1]", "object"), ("{", "line 1"), ('{"env": 3}', "`env`")])
def test_json_that_would_be_damaged_is_refused(text: str, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        json_values({("env", "A"): "1"})(text)


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


COMMENTED = """// Zed settings
{
  "theme": "dark", // at night
  /* fonts { */
  "url": "http://x//y", "list": [1, 2,],
  "env": {"A": "1"}, // mine
}
"""


def test_json_with_comments_and_trailing_commas_keeps_them() -> None:
    after = json_values({("env", "B"): "2", ("new", "deep"): {"x": 1}, ("theme",): "light"})(COMMENTED)
    assert jsonc.read(after) == {
        "theme": "light",
        "url": "http://x//y",
        "list": [1, 2],
        "env": {"A": "1", "B": "2"},
        "new": {"deep": {"x": 1}},
    }
    for kept in ("// Zed settings", '"light", // at night', "/* fonts { */", "[1, 2,]", "// mine"):
        assert kept in after


NAMES = st.sampled_from(["a", "b", "c,}", "//d", '"'])
TREES = st.recursive(
    st.one_of(st.integers(), st.text('/*, }"', max_size=4)),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=8,
)


@given(st.dictionaries(NAMES, TREES), NAMES, NAMES, TREES, st.sampled_from([None, 2, "\t"]))
def test_what_is_put_into_json_can_be_dropped_again(
    data: dict[str, object], first: str, second: str, value: object, indent: int | str | None
) -> None:
    text = json.dumps(data, indent=indent)
    if isinstance(data.get(first, {}), dict) and second not in data.get(first, {}):  # type: ignore[operator]
        put = jsonc.put(text, (first, second), value)
        assert jsonc.read(put)[first][second] == value
        expected = {**data, first: data.get(first, {})}
        assert jsonc.read(jsonc.drop(put, (first, second))) == expected


def test_a_toml_table_is_added_or_replaced_whole() -> None:
    edit = toml_values({"model_provider": "x"}, {("model_providers", "x"): {"name": "new"}})
    before = 'model_provider = "old"\n\n[model_providers.x]\nname = "old"\nextra = 1\n\n[tools]\na = 1\n'
    assert edit(before) == 'model_provider = "x"\n\n[model_providers.x]\nname = "new"\n\n[tools]\na = 1\n'
    assert tomllib.loads(edit("")) == {"model_provider": "x", "model_providers": {"x": {"name": "new"}}}
    with pytest.raises(Unreadable):
        edit('model_providers = {y = {name = "z"}}\n')
    with pytest.raises(Unreadable, match="safely"):
        edit('note = """\nmodel_provider = 1\n"""\n')


ITEM = {"name": "mux", "model": "m"}


@pytest.mark.parametrize(
    "before",
    [
        "",
        "name: Mine\nmodels: []\n",
        "name: Mine\n",
        "models:\n  - name: other\n    model: o\nrules:\n  - be kind\n",
        "models:\n- name: other\n- name: mux\n  model: old\n  more:\n  - 1\nrules: [x]\n",
    ],
)
def test_a_yaml_item_is_added_first_or_replaced(before: str) -> None:
    after = yaml_item("models", ITEM, empty="name: Local\n")(before)
    models = yaml.safe_load(after)["models"]
    assert models.count(ITEM) == 1
    assert [each["name"] for each in models].count("mux") == 1
    assert yaml_item("models", ITEM, empty="")(after) == after
    others = yaml.safe_load(before or "name: Local\n")
    assert {**yaml.safe_load(after), "models": None} == {**others, "models": None}


@pytest.mark.parametrize(
    ("name", "before", "written", "now", "then"),
    [
        ("a.json", '{"x": 1}', '{"x": 1, "e": {"A": 1}}', '{"x": 1, "e": {"A": 1}}', '{"x": 1}'),
        (
            "a.json",
            "{}",
            '{"e": {"A": 1, "B": 2}}',
            '{"e": {"A": 1, "B": 2, "C": 3}, "t": 1}',
            '{"e": {"C": 3}, "t": 1}',
        ),
        ("a.json", '{"m": 1}', '{"m": 2}', '{"m": 3, "n": 4}', '{"m": 3, "n": 4}'),
        ("a.json", '{"m": 1}', '{"m": 2}', '{"m": 2, "n": 4}', '{"m": 1, "n": 4}'),
        ("a.json", "{}", '{"m": 2}', "no json", None),
        (
            "a.toml",
            "a = 1\n",
            "a = 2\n\n[p.x]\nn = 1\n",
            "a = 2\n\n[p.x]\nn = 1\n\n[q]\nz = 1\n",
            "a = 1\n\n[q]\nz = 1\n",
        ),
        ("a.env", "A=1\n", "A=2\n", "A=3\n", None),
        ("a.env", "A=1\nB=1\n", "A=2\nB=1\n", "A=2\nB=5\n", "A=1\nB=5\n"),
    ],
)
def test_a_change_is_taken_back_out_of_what_others_wrote(
    name: str, before: str, written: str, now: str, then: str | None
) -> None:
    found = taken_back(name, before, written, now)
    if then is not None and name == "a.json":
        assert found is not None
        assert json.loads(found) == json.loads(then)
    else:
        assert found == then


@pytest.mark.parametrize(
    ("tool", "settings"),
    [(tool, settings) for tool in TOOLS for settings in tool.settings],
    ids=lambda value: getattr(value, "file", ""),
)
def test_every_change_is_stable_and_one_of_a_tools_files_names_the_daemon(tool: Tool, settings: Settings) -> None:
    change = settings.change(WANTED)
    assert change(change("")) == change("")
    told = "".join(each.change(WANTED)("") for each in tool.settings)
    assert "http://127.0.0.1:8317" in told
    assert "gpt-5" in told


@pytest.mark.parametrize("tool", [tool for tool in TOOLS if not tool.settings], ids=lambda tool: tool.name)
def test_words_stand_where_there_is_no_file(tool: Tool) -> None:
    assert tool.words is not None
    assert "key" in tool.words(WANTED)
