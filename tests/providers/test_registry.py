"""The registry: names, short names, and providers that other packages bring."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_mux.providers import registry

PLUGIN = """
from llm_mux.providers.base import Endpoint, Provider

PROVIDER = Provider(
    name="fake",
    title="Fake",
    base_url="https://fake.example/v1",
    endpoints=(Endpoint("openai_chat", "/chat/completions"),),
    env=("FAKE_API_KEY",),
)
WRONG_NAME = PROVIDER
NOT_ONE = object()
"""
ENTRY_POINTS = """[llm_mux.providers]
fake = fake_plugin:PROVIDER
openai = fake_plugin:PROVIDER
misnamed = fake_plugin:WRONG_NAME
thing = fake_plugin:NOT_ONE
missing = no_such_module_anywhere:PROVIDER
"""


def forget() -> None:
    for function in (registry.load, registry.broken, registry.names, registry._plugins, registry._plugin):
        function.cache_clear()


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package installed beside ours that brings providers by entry points."""
    (tmp_path / "fake_plugin.py").write_text(PLUGIN, encoding="utf-8")
    info = tmp_path / "fake_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fake-plugin\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(ENTRY_POINTS, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    forget()
    yield
    monkeypatch.undo()
    sys.modules.pop("fake_plugin", None)
    forget()


@pytest.mark.usefixtures("plugins")
def test_another_package_may_bring_a_provider() -> None:
    assert registry.get("fake").title == "Fake"
    assert "fake" in registry.names()
    assert registry.load()["fake"].env == ("FAKE_API_KEY",)
    assert "fake" not in registry.load(plugins=False)


@pytest.mark.usefixtures("plugins")
def test_a_plugin_replaces_none_of_ours() -> None:
    assert registry.get("openai").title == "OpenAI"
    assert registry.load()["openai"].title == "OpenAI"


@pytest.mark.usefixtures("plugins")
def test_a_plugin_that_cannot_be_used_says_why_and_harms_nobody() -> None:
    broken = registry.broken()
    assert set(broken) == {"misnamed", "thing", "missing"}
    assert "calls itself `fake`" in broken["misnamed"]
    assert "no Provider" in broken["thing"]
    assert "no_such_module_anywhere" in broken["missing"]
    assert set(broken).isdisjoint(registry.load())
    with pytest.raises(KeyError, match="cannot be used"):
        registry.get("missing")


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("claude", "anthropic"),
        ("google", "gemini"),
        ("qwen", "dashscope"),
        ("grok", "xai"),
        ("kimi-code", "kimi"),
        ("glm", "zai"),
    ],
)
def test_people_may_say_the_name_of_the_models(short: str, full: str) -> None:
    assert registry.get(short).name == full


def test_short_names_stand_for_providers_and_are_none() -> None:
    assert set(registry.ALIASES.values()) <= set(registry.load(plugins=False))
    assert registry.ALIASES.keys().isdisjoint(registry.load(plugins=False))


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(KeyError, match="did you mean openai"):
        registry.get("opnai")


def test_names_are_known_without_importing_any_provider() -> None:
    code = (
        "import sys\n"
        "from llm_mux.providers import registry\n"
        "assert 'azure' in registry.names()\n"
        "assert 'llm_mux.providers.azure' not in sys.modules\n"
        "assert not [name for name in sys.modules if name.startswith('llm_mux.translators.openai_')]\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
