"""Reading the configuration: what wins, what is refused, and that every problem says where and what to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import pytest

from llm_mux.config import ConfigError, load, parse, reload
from llm_mux.config.keys import env_paths, walk
from llm_mux.config.schema import Config

KNOWN = ("anthropic", "openai", "gemini", "openai-compatible", "ollama")
FILE = Path("config.yaml")


def config_of(text: str, **env: str) -> Config:
    return parse(text, FILE, env, known_types=KNOWN).config


def refusal(text: str, **env: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse(text, FILE, env, known_types=KNOWN)
    return caught.value


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    loaded = load(tmp_path / "config.yaml", {})
    assert loaded.config == Config()
    assert loaded.text == ""
    assert loaded.warnings == ()


def test_a_file_that_was_asked_for_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        load(tmp_path / "config.yaml", {}, required=True)


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "providers:\naliases:\ntimeouts:\n"])
def test_an_empty_file_or_section_means_the_defaults(text: str) -> None:
    assert config_of(text) == Config()


def test_flags_win_over_the_environment_and_the_environment_over_the_file() -> None:
    text = "port: 1000\nhost: 127.0.0.2\ntimeouts: {connect: 1, first-byte: 2}\n"
    env = {"LLM_MUX_PORT": "2000", "LLM_MUX_TIMEOUTS_CONNECT": "5"}
    config = parse(text, FILE, env, {"port": 3000, "host": None}).config
    assert (config.port, config.host) == (3000, "127.0.0.2")
    assert (config.timeouts.connect, config.timeouts.first_byte) == (5, 2)


@dataclass(frozen=True)
class Variable:
    name: str
    value: str
    attribute: str
    expected: object


VARIABLES = [
    Variable("LLM_MUX_DEBUG", "yes", "debug", True),
    Variable("LLM_MUX_DISCOVER", "0", "discover", False),
    Variable("LLM_MUX_PORT", "0", "port", 0),
    Variable("LLM_MUX_OLLAMA_PORT", "null", "ollama_port", None),
    Variable("LLM_MUX_API_KEYS", "123, abc", "api_keys", ("123", "abc")),
    Variable("LLM_MUX_ALLOWED_HOSTS", '["mux.lan", other]', "allowed_hosts", ("mux.lan", "other")),
    Variable("LLM_MUX_ROUTING_STRATEGY", "cheapest", "routing.strategy", "cheapest"),
    Variable("LLM_MUX_MAX_REQUEST_SIZE", "2KiB", "max_request_size", 2048),
    Variable("LLM_MUX_BILLING_INITIAL_BALANCE", "0.10", "billing.initial_balance", Decimal("0.10")),
    Variable("LLM_MUX_ALIASES", '{"fast": "gemini-2.5-flash"}', "aliases", {"fast": "gemini-2.5-flash"}),
    Variable("LLM_MUX_RATE_LIMITS_GLOBAL_CONCURRENT", "9", "rate_limits.global_.concurrent", 9),
    Variable("LLM_MUX_ENVIRONMENT", "2024", "environment", "2024"),
    Variable("LLM_MUX_ENVIRONMENT", "", "environment", "local"),
]


@pytest.mark.parametrize("case", VARIABLES, ids=lambda case: f"{case.name}={case.value}")
def test_every_kind_of_value_can_come_from_the_environment(case: Variable) -> None:
    found: object = config_of("", **{case.name: case.value})
    for name in case.attribute.split("."):
        found = getattr(found, name)
    assert found == case.expected


def test_a_section_and_a_key_inside_it_can_both_come_from_the_environment() -> None:
    config = config_of("", LLM_MUX_TIMEOUTS="{connect: 1, first-byte: 2}", LLM_MUX_TIMEOUTS_CONNECT="7")
    assert (config.timeouts.connect, config.timeouts.first_byte) == (7, 2)


def test_providers_can_come_from_the_environment() -> None:
    config = config_of("", LLM_MUX_PROVIDERS='[{"type": "openai", "api-key": "sk-test"}]')
    assert [(entry.id, entry.api_key) for entry in config.providers] == [("openai", "sk-test")]


def test_every_key_has_a_variable_of_its_own() -> None:
    assert len(env_paths()) == len(list(walk(Config)))


def test_a_variable_that_sets_nothing_is_reported_with_the_nearest() -> None:
    env = {"LLM_MUX_PRT": "1", "LLM_MUX_HOME": "/x", "LLM_MUX_TEST_X": "1", "LLM_MUX_PASSPHRASE": "p"}
    assert parse("", FILE, env).warnings == (
        'environment LLM_MUX_PRT: no setting has this name; did you mean "LLM_MUX_PORT"?',
    )


def test_short_forms_and_defaults_of_providers_are_completed() -> None:
    config = config_of("providers: [{type: openai, api-keys: [sk-a, {key: sk-b, weight: 2}], models: [gpt-5]}]")
    (entry,) = config.providers
    assert entry.id == "openai"
    assert [(key.key, key.weight) for key in entry.api_keys] == [("sk-a", 1), ("sk-b", 2)]
    assert [model.name for model in entry.models] == ["gpt-5"]


def test_an_unquoted_passthru_tag_is_understood() -> None:
    assert config_of("providers:\n- type: openai\n  api-key: !PASSTHRU\n").providers[0].api_key == "!PASSTHRU"


def test_anchors_and_merge_keys_are_taken() -> None:
    config = config_of(
        "providers:\n- &base {type: openai, id: a, priority: 3}\n- {<<: *base, id: b}\n- {<<: [*base], id: c}\n"
    )
    assert [(entry.id, entry.priority) for entry in config.providers] == [("a", 3), ("b", 3), ("c", 3)]


@dataclass(frozen=True)
class Auth:
    text: str
    disabled: bool
    keys: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)


@pytest.mark.parametrize(
    "case",
    [
        Auth("", disabled=True),
        Auth("api-keys: [k]", disabled=False, keys=("k",)),
        Auth("disable-auth: true\napi-keys: [k]", disabled=True, keys=("k",)),
        Auth("auth: {jwt: {secret: s}}", disabled=False),
        Auth("", disabled=False, keys=("k", "l"), env={"PROXY_API_KEY": "k l"}),
        Auth("disable-auth: true", disabled=False, keys=("k",), env={"PROXY_API_KEY": "k"}),
        Auth("", disabled=True, keys=("k",), env={"PROXY_API_KEY": "k", "LLM_MUX_DISABLE_AUTH": "true"}),
    ],
    ids=str,
)
def test_clients_need_a_key_as_soon_as_one_is_configured(case: Auth) -> None:
    config = config_of(case.text, **case.env)
    assert config.disable_auth is case.disabled
    assert config.api_keys == case.keys


@dataclass(frozen=True)
class Bad:
    text: str
    place: str
    message: str
    suggestion: str | None = None


BAD_FILES = [
    Bad("prot: 1", "1:1", 'unknown key "prot"', "port"),
    Bad("disable_auth: true", "1:1", 'unknown key "disable_auth"', "disable-auth"),
    Bad("timeouts:\n  conect: 1", "2:3", 'unknown key "conect"', "connect"),
    Bad("providers:\n- type: openai\n  api_key: x", "3:3", 'unknown key "api_key"', "api-key"),
    Bad("port: many", "1:7", "an integer from 0 to 65535; found text"),
    Bad("port: 70000", "1:7", "an integer from 0 to 65535; found an integer"),
    Bad("port: true", "1:7", "found a true/false value"),
    Bad("port:", "1:6", "found nothing"),
    Bad("debug: 1", "1:8", "true or false"),
    Bad("host: 127", "1:7", "(put it in quotes)"),
    Bad("host: [a]", "1:7", "found a list"),
    Bad("timeouts: {connect: 0}", "1:21", "a number above 0"),
    Bad("timeouts: {connect: .inf}", "1:21", "a number above 0"),
    Bad("max-request-size: 64Mb2", "1:19", "a size such as 64MiB"),
    Bad("max-request-size: 0", "1:19", "a size such as 64MiB"),
    Bad("billing: {initial-balance: -1}", "1:28", "a decimal number of at least 0"),
    Bad("routing: {strategy: round_robin}", "1:21", "one of cheapest", "round-robin"),
    Bad("providers: {type: openai}", "1:12", "a list of mappings; found a mapping"),
    Bad("providers: [{id: a}]", "1:13", '"type" is missing'),
    Bad("providers: [{type: openai, id: a b}]", "1:32", "a name of letters"),
    Bad("aliases: {a: [b]}", "1:14", "found a list"),
    Bad("port: 1\nport: 2", "2:1", "already set in line 1"),
    Bad("- a", "1:1", "must be a mapping"),
    Bad("port: ]", "1:7", "not valid YAML"),
    Bad("host: \tx\nport: *no", "2:7", "not valid YAML"),
    Bad("a: 1\n---\nb: 2", "2:1", "not valid YAML"),
    Bad("host: !!python/object:os.system x", "1:7", "the tag"),
    Bad("? [a]\n: b", "1:3", "a key must be plain text"),
    Bad("<<: 3", "1:5", "<< takes a mapping"),
    Bad("host: !!int x", "1:7", "not a valid int"),
    Bad("aliases: &a\n  x: *a", "2:3", "contains itself"),
]


@pytest.mark.parametrize("case", BAD_FILES, ids=lambda case: case.text[:40])
def test_a_bad_file_is_refused_with_line_column_and_advice(case: Bad) -> None:
    error = refusal(case.text)
    assert case.message in error.message
    assert f"{error.line}:{error.column}" == case.place or "contains itself" in case.message
    assert error.suggestion == case.suggestion
    assert error.file == "config.yaml"
    assert str(error).startswith("config.yaml:")


def test_all_problems_of_a_file_are_reported_together() -> None:
    error = refusal("prot: 1\nport: x\nhost: [a]\n")
    assert [each.line for each in (error, *error.more)] == [1, 2, 3]


def test_a_bad_variable_is_named() -> None:
    assert str(refusal("", LLM_MUX_PORT="x")).startswith('environment LLM_MUX_PORT: "port" must be an integer')


def test_a_bad_flag_is_named() -> None:
    with pytest.raises(ConfigError, match='--port: "port" must be an integer'):
        parse("", FILE, {}, {"port": 70000})


def test_no_message_repeats_a_secret() -> None:
    secret = "sk-very-secret"
    texts = [
        f"providers: [{{type: openai, api-key: [{secret}]}}]",
        f"providers: [{{type: openai, base-url: 'http://u:{secret}@x.example'}}]",
        f"proxy-url: {secret}",
        f"redis-url: {secret}",
        f"usage: {{database: {secret}}}",
        f"port: {secret}",
    ]
    for text in texts:
        error = refusal(text)
        assert secret not in "\n".join(str(each) for each in (error, *error.more))


def test_a_file_that_expands_without_end_is_refused() -> None:
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 9)]
    error = refusal("l0: &l0 [x]\n" + "\n".join(levels))
    assert "after aliases are expanded" in error.message


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 100_000, "a: [" + "[" * 60 + "]" * 60 + "]"])
def test_a_deeply_nested_file_is_refused(text: str) -> None:
    assert refusal(text)


def test_a_huge_file_and_a_file_that_is_not_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(ConfigError, match="larger than"):
        load(path, {})
    path.write_bytes(b"host: a\nenvironment: \xff\n")
    with pytest.raises(ConfigError, match=r"config\.yaml:2:1: not UTF-8"):
        load(path, {})


def test_a_file_from_windows_with_a_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"\xef\xbb\xbfport: 9000\r\ndebug: true\r\n")
    assert load(path, {}).config.port == 9000


def test_reading_again_keeps_flags_and_known_types(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("debug: false\n")
    first = load(path, {}, {"port": 9001}, known_types=KNOWN)
    path.write_text("debug: true\nport: 1\n")
    second = reload(first, {})
    assert (second.config.debug, second.config.port, second.known_types) == (True, 9001, KNOWN)


def test_what_needs_a_restart_stays_as_it_runs_and_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("port: 9000\nusage: {retention-days: 7}\n")
    first = load(path, {})
    path.write_text("port: 9001\nusage: {database: 'sqlite:///x', retention-days: 8}\nstrict: true\n")
    second = reload(first, {})
    assert (second.config.port, second.config.usage.database) == (9000, None)
    assert (second.config.usage.retention_days, second.config.strict) == (8, True)
    assert second.needs_restart == ("port", "usage.database")
    assert reload(second, {}, "port: 9000\n").needs_restart == ()


def test_a_file_that_only_a_restart_makes_safe_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("host: 0.0.0.0\napi-keys: [k]\n")
    first = load(path, {})
    path.write_text("host: 127.0.0.1\n")
    with pytest.raises(ConfigError, match=r"config\.yaml: other machines could reach.*takes a restart.*the old host"):
        reload(first, {})


def test_a_file_that_was_there_must_still_be_at_the_next_reading(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    first = load(path, {})
    assert reload(first, {}).text == ""
    path.write_text("strict: true\n")
    second = reload(first, {})
    path.unlink()
    with pytest.raises(ConfigError, match="no such file"):
        reload(second, {})
