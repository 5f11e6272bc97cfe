"""Reading the configuration: flags win over the environment, the environment over the file.

Rule: a configuration is whole or refused; every problem says where it was read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from llm_mux.config.checks import Surroundings, findings
from llm_mux.config.keys import ENV_PREFIX, env_paths
from llm_mux.config.problems import ConfigError, Place, nearest
from llm_mux.config.restart import as_running
from llm_mux.config.schema import Config
from llm_mux.config.tree import MAX_BYTES, Entries, Leaf, at, from_value, place_of, put, read_yaml
from llm_mux.config.validate import Validation

OTHER_ENV = frozenset({"LLM_MUX_HOME", "LLM_MUX_CONFIG", "LLM_MUX_PASSPHRASE", "LLM_MUX_KEYRING"}) | frozenset(
    {"LLM_MUX_HANDOVER", "LLM_MUX_DETACHED", "LLM_MUX_WORKER", "LLM_MUX_SECRETS_KEY", "LLM_MUX_SECRETS_DATABASE"}
)
PROXY_KEY = "PROXY_API_KEY"
REQUEST_TIMEOUT = "REQUEST_TIMEOUT"


class Loaded(Struct, frozen=True):
    """A checked configuration, the file's text as it was (empty when there is no file), and what it came from.

    `needs_restart` names settings of the file that differ from those in `config`, which a running daemon keeps.
    """

    config: Config
    path: Path | None
    text: str
    warnings: tuple[str, ...] = ()
    overrides: Mapping[str, object] = field(default_factory=dict)
    known_types: Collection[str] | None = None
    needs_restart: tuple[str, ...] = ()


def load(
    path: Path | None,
    env: Mapping[str, str],
    overrides: Mapping[str, object] | None = None,
    *,
    known_types: Collection[str] | None = None,
    required: bool = False,
) -> Loaded:
    """Read the file (a missing one is empty unless `required`), the environment and the flags.

    `overrides` are dotted keys with values, those with None left out: `{"port": 8000, "timeouts.connect": 3}`.
    Raises `ConfigError`, with all further problems in its `more`.
    """
    text = _read(path, required=required) if path is not None else ""
    return parse(text, path, env, overrides, known_types=known_types)


def reload(previous: Loaded, env: Mapping[str, str], text: str | None = None) -> Loaded:
    """The same file (or `text` in its place), flags and known types read again, for a daemon that runs as `previous`.

    Settings that need a restart stay as they run, and what was read has to go with those. A file that was there must
    still be. Raises `ConfigError`.
    """
    path, known = previous.path, previous.known_types
    if text is None:
        text = _read(path, required=previous.text != "") if path is not None else previous.text
    fresh = parse(text, path, env, previous.overrides, known_types=known)
    config, changed = as_running(fresh.config, previous.config)
    if changed:
        wrong = next((each for each in findings(config, Surroundings(env, known)) if each.fatal), None)
        if wrong is not None:
            message = f"{wrong.message}; this takes a restart, because the daemon still runs with the old {changed[0]}"
            raise ConfigError(message, Place(str(path or "configuration")))
    return replace(fresh, config=config, needs_restart=changed)


def parse(
    text: str,
    path: Path | None,
    env: Mapping[str, str],
    overrides: Mapping[str, object] | None = None,
    *,
    known_types: Collection[str] | None = None,
) -> Loaded:
    """As `load`, for a file's text that is already at hand. `path` only names it in messages."""
    flags = {name: value for name, value in (overrides or {}).items() if value is not None}
    file_tree = _file_tree(text, path)
    tree, warnings = _with_env(file_tree, env)
    for name, value in flags.items():
        tree = put(tree, name.split("."), from_value(value, Place(f"--{name.replace('.', '-')}")))
    validation = Validation()
    values = validation.section(tree, Config)
    _refuse(validation.problems)
    config = _config(_completed(values, tree, file_tree, env))
    problems = []
    for found in findings(config, Surroundings(env, known_types)):
        problem = ConfigError(found.message, place_of(tree, found.path), found.suggestion)
        if found.fatal:
            problems.append(problem)
        else:
            warnings.append(str(problem))
    _refuse(problems)
    return Loaded(config, path, text, tuple(warnings), flags, known_types)


def located(error: ConfigError, loaded: Loaded) -> ConfigError:
    """`error` with the place of the key that it blames, for what turns out only when a configuration is put to use."""
    if not error.path:
        return error
    return ConfigError(error.message, place_of(_file_tree(loaded.text, loaded.path), error.path), error.suggestion)


def _read(path: Path, *, required: bool) -> str:
    place = Place(str(path))
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        if not required:
            return ""
        raise ConfigError("there is no such file; llm-mux --init makes one", place) from error
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", place) from error
    if len(content) > MAX_BYTES:
        raise ConfigError(f"the file is larger than {MAX_BYTES} bytes; split or shorten it", place)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError("not UTF-8 text; save the file as UTF-8", Place(str(path), line, 1)) from error


def _file_tree(text: str, path: Path | None) -> Entries:
    source = str(path) if path is not None else "config"
    tree = read_yaml(text, source)
    if isinstance(tree, Leaf) and tree.value is None:
        return Entries({}, tree.place)
    if not isinstance(tree, Entries):
        raise ConfigError("the file must be a mapping of keys to values", tree.place)
    return tree


def _with_env(tree: Entries, env: Mapping[str, str]) -> tuple[Entries, list[str]]:
    """The tree with the environment on top. An empty variable counts as not set."""
    names = env_paths()
    warnings = []
    for name in sorted(env, key=lambda each: (each.count("_"), each)):
        value = env[name]
        if name in names and value != "":
            tree = put(tree, names[name], Leaf(value, value, Place(f"environment {name}"), loose=True))
        elif _looks_ours(name) and name not in names:
            near = nearest(name, names)
            hint = f'; did you mean "{near}"?' if near else ""
            warnings.append(f"environment {name}: no setting has this name{hint}")
    return tree, warnings


def _looks_ours(name: str) -> bool:
    return name.startswith(ENV_PREFIX) and name not in OTHER_ENV and not name.startswith("LLM_MUX_TEST_")


def _refuse(problems: list[ConfigError]) -> None:
    if problems:
        first = problems[0]
        first.more = tuple(problems[1:])
        raise first


def _completed(values: dict[str, Any], tree: Entries, file_tree: Entries, env: Mapping[str, str]) -> dict[str, Any]:
    """Values that follow from others: a provider's id from its type, whether clients need keys."""
    for entry in values.get("providers", []):
        entry["id"] = entry.get("id") or entry["type"]
    if (seconds := _seconds(env)) is not None:
        unsaid = [name for name in ("first-byte", "between-bytes") if at(tree, ("timeouts", name)) is None]
        values["timeouts"] = {**values.get("timeouts", {}), **dict.fromkeys(unsaid, seconds)}
    proxy_key = env.get(PROXY_KEY, "")
    if proxy_key:
        values["api-keys"] = [*values.get("api-keys", []), *proxy_key.split()]
    said = at(tree, ("disable-auth",))
    by_file = said is not None and said is at(file_tree, ("disable-auth",))
    if said is None:
        values["disable-auth"] = not (values.get("api-keys") or _has_jwt(values))
    elif by_file and proxy_key:
        values["disable-auth"] = False
    return values


def _seconds(env: Mapping[str, str]) -> float | None:
    """REQUEST_TIMEOUT, when it is a number of seconds."""
    try:
        seconds = float(env.get(REQUEST_TIMEOUT, ""))
    except ValueError:
        return None
    return seconds if 0 < seconds < float("inf") else None


def _has_jwt(values: dict[str, Any]) -> bool:
    jwt = values.get("auth", {}).get("jwt", {})
    return bool(jwt.get("secret") or jwt.get("jwks-url"))


def _config(values: dict[str, Any]) -> Config:
    return msgspec.convert(values, Config)
