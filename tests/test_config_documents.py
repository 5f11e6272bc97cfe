"""The committed example and page are what the schema makes; shown configurations hold no secret."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import yaml

from llm_mux.config import example, markdown, masked, parse
from llm_mux.config.keys import item_section, walk
from llm_mux.config.schema import Config

ROOT = Path(__file__).parent.parent


def uncommented(text: str) -> str:
    """Settings are `#key` or `#` with two spaces and more; help is `# ` with one."""
    return re.sub(r"^#(?=\S|  )", "", text, flags=re.MULTILINE)


def names() -> set[str]:
    found = set()
    for _, key in walk(Config):
        found.add(key.name)
        section = item_section(key.shape.type)
        if section is not None:
            found |= {each.name for _, each in walk(section)}
    return found


def test_the_committed_example_is_made_from_the_schema() -> None:
    assert (ROOT / "config.example.yaml").read_text(encoding="utf-8") == example()


def test_the_committed_page_is_made_from_the_schema() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8") == markdown()


def test_the_example_as_it_is_changes_nothing() -> None:
    assert parse(example(), None, {}).config == Config()


def test_the_example_uncommented_is_a_valid_configuration_with_every_key() -> None:
    text = uncommented(example())
    env = {"ANTHROPIC_API_KEY": "k", "JWT_SECRET": "s"}
    parse(text, None, env, known_types=("anthropic", "gemini"))
    assert set(yaml.safe_load(text)) == {path[0] for path, _ in walk(Config)}


@pytest.mark.parametrize("name", sorted(names()))
def test_every_key_is_in_the_example_and_on_the_page(name: str) -> None:
    assert re.search(rf"^#[ #-]*{name}:", example(), re.MULTILINE)
    assert f"`{name}`" in markdown()


def test_every_key_has_help() -> None:
    for path, key in walk(Config):
        assert key.shape.help, path


SECRETS = """
api-keys: [plant-1]
usage: {database: 'postgresql://user:plant-2@db.example/books'}
redis-url: 'redis://:plant-3@cache.example/0'
proxy-url: 'http://user:plant-4@proxy.example:3128'
auth: {jwt: {secret: plant-5}}
telemetry: {sentry-dsn: 'https://plant-6@sentry.example/1', langfuse: {public-key: pk, secret-key: plant-7}}
providers:
- type: openai
  api-key: plant-8
  headers: {authorization: Bearer plant-9, x-team: blue}
  options: {client: {access_token: plant-10}, region: us-east-1}
  oauth: {client-secret: plant-11, token-url: 'https://sso.example/token'}
- {type: gemini, api-keys: [{key: plant-12, label: one}, 'env:SECOND'], base-url: 'https://u:plant-13@x.example'}
"""


def test_a_masked_configuration_holds_no_secret_and_keeps_the_rest() -> None:
    shown = masked(parse(SECRETS, None, {"SECOND": "x"}).config)
    text = msgspec.json.encode(shown).decode()
    assert "plant-" not in text
    assert shown["providers"][0]["headers"]["x-team"] == "blue"
    assert shown["providers"][0]["options"]["region"] == "us-east-1"
    assert shown["providers"][0]["oauth"]["token-url"] == "https://sso.example/token"
    assert shown["providers"][1]["api-keys"][1]["key"] == "env:SECOND"
    assert shown["usage"]["database"] == "postgresql://***@db.example/books"
    assert shown["rate-limits"]["global"] == dict.fromkeys(
        ("requests-per-minute", "requests-per-hour", "tokens-per-minute", "concurrent")
    )


def test_the_schema_prints_its_documents() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "llm_mux.config", "example"], capture_output=True, text=True, check=True
    )
    assert done.stdout == example()
