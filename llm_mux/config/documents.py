"""The schema written out: config.example.yaml, docs/configuration.md, and a configuration with its secrets masked.

Rule: all three follow the schema by themselves; tests compare the committed files with what is made here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import NODEFAULT, inspect

from llm_mux.config.keys import Key, env_name, expected, item_section, keys_of, section_of, shape_of
from llm_mux.config.references import reference
from llm_mux.config.schema import Config, Section
from llm_mux.config.validate import UNITS

MASK = "***"
_SECRET_NAME = re.compile(r"(authorization|api-?key|token|secret|password|passphrase|cookie|credential|(^|-)key$)")
_USERINFO = re.compile(r"(?<=://)[^/@\s]*@")

_EXAMPLE_HEAD = """\
# Settings of llm-mux. Every line starting with "#" and a key is a setting with its default or an example: remove
# the "#" to change it. Each can also be set in the environment as LLM_MUX_<KEY> (LLM_MUX_TIMEOUTS_CONNECT=5) and
# the environment wins over this file. Check the file with: llm-mux config validate
"""

_MARKDOWN_HEAD = """\
# Configuration

llm-mux reads `config.yaml` from the platform's configuration folder, from `$LLM_MUX_HOME`, or the file named by
`--config FILE` or `$LLM_MUX_CONFIG`; `llm-mux config path` says which. It works without a file. Command-line flags win
over the environment, the environment over the file. `llm-mux config validate` checks a file and
`llm-mux config show` prints what is in effect, with secrets masked. An unknown key is refused with its line, its column
and the nearest key.

A running daemon reads the file again when it changes, and on SIGHUP; running streams do not notice. A version that
cannot be used is refused as a whole: the old one stays in effect, and the reason is in the log, in `llm-mux status` and
in `GET /health`. Settings marked with "needs a restart" keep their value until then. Keys that `llm-mux login` stores
are taken up the same way.

This page is made from the schema (`python -m llm_mux.config markdown`).

## Values

- Sizes are bytes or take a unit: `64MiB`, `500KB`. Durations are seconds.
- In the environment, lists are separated by commas; lists of mappings and mappings are written as YAML or JSON. An
  empty variable counts as not set.
- A secret need not be in the file: `env:NAME` takes it from the environment (several keys may be separated by
  spaces), `keyring:NAME` from the secret store, and `!PASSTHRU` sends the client's own key to the provider. One of
  `llm-mux keys create` or a signed token never goes there: its client brings the provider's key as `x-api-key` beside.
- YAML anchors and `<<` are taken; a key given twice is refused.

## Variables beside the settings

| variable | what it does |
|---|---|
| `LLM_MUX_HOME` | puts configuration, data, state, cache and logs under one folder |
| `LLM_MUX_CONFIG` | the configuration file |
| `LLM_MUX_KEYRING` | `os` or `file`: which secret store to use instead of finding out |
| `LLM_MUX_PASSPHRASE` | encrypts the file store; without it a random key file beside it does |
| `PROXY_API_KEY` | added to `api-keys`, and makes the daemon ask clients for a key |
| `REQUEST_TIMEOUT` | seconds for `timeouts.first-byte` and `timeouts.between-bytes`, where neither is said |
| `<PROVIDER>_API_KEY` | the key of a provider, several separated by blanks, or `!PASSTHRU` (with `discover`) |
| `<PROVIDER>_BASE_URL` | where that provider is; with a key, any other name becomes a server of its own |
| `<PROVIDER>_API_FORMAT` | what it speaks: `openai`, `openai-responses`, `anthropic`, `gemini`, `ollama`, `bedrock` |

Secrets are kept in the keyring of the operating system where one answers, else in `secrets.json.enc` in the data
folder, encrypted with AES-GCM. The first secret decides; `LLM_MUX_KEYRING` changes it.
"""


def example() -> str:
    """The text of config.example.yaml: every key with its help, commented out, so that defaults stay defaults."""
    lines = [_EXAMPLE_HEAD.rstrip()]
    for key in keys_of(Config).values():
        lines += ["", f"# {key.shape.help}"]
        lines += [f"#{line}" for line in _setting(key, 0)]
    return "\n".join(lines) + "\n"


def _setting(key: Key, indent: int) -> Iterator[str]:
    pad = " " * indent
    section = section_of(key.shape.type)
    items = item_section(key.shape.type)
    if section is not None:
        yield f"{pad}{key.name}:"
        for each in keys_of(section).values():
            yield from _commented(each, indent + 2)
    elif items is not None:
        yield f"{pad}{key.name}:"
        yield from _item(items, indent + 2)
    else:
        yield f"{pad}{key.name}: {_shown(key)}"


def _commented(key: Key, indent: int) -> Iterator[str]:
    """The setting with its help behind it; one that excludes another stays a comment when the block is uncommented."""
    first, *rest = _setting(key, indent)
    lead = f"{' ' * indent}# " if key.shape.extra.get("instead") else " " * indent
    yield f"{lead}{first[indent:]}  # {key.shape.help}"
    yield from (f"{lead}{line[indent:]}" for line in rest)


def _item(section: type[Section], indent: int) -> Iterator[str]:
    """One list item with every key of its section."""
    bullet = "- "
    for key in keys_of(section).values():
        for line in _commented(key, indent + 2):
            yield f"{' ' * indent}{bullet}{line[indent + 2 :]}"
            bullet = "  "


def _shown(key: Key) -> str:
    """The example where the default says nothing, else the default."""
    example_text = key.shape.extra.get("example")
    if example_text is not None:
        return str(example_text)
    if key.required:
        return "env:SOME_KEY" if key.secret else "name"
    return _yaml(key)


def _yaml(key: Key) -> str:
    value = key.default
    if key.shape.extra.get("unit") == "size" and isinstance(value, int):
        return _size(value)
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return msgspec.json.encode(value).decode() if not isinstance(value, str) else value or '""'


def _size(value: int) -> str:
    for unit in ("GiB", "MiB", "KiB"):
        if value % UNITS[unit] == 0:
            return f"{value // UNITS[unit]}{unit}"
    return str(value)


def markdown() -> str:
    """The text of docs/configuration.md."""
    parts = [_MARKDOWN_HEAD, "## Settings\n", *_table(Config, ())]
    for path, section in _sections(Config, ()):
        parts += [f"\n## {'.'.join(path)}\n"]
        note = (section.__doc__ or "").strip()
        if note:
            parts.append(f"{note}\n")
        parts += _table(section, path)
    return "\n".join(parts) + "\n"


def _sections(section: type[Section], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], type[Section]]]:
    for name, key in keys_of(section).items():
        below = section_of(key.shape.type)
        item = item_section(key.shape.type)
        found = below or item
        if found is not None:
            inner = (*path, name if below is not None else f"{name}[]")
            yield inner, found
            yield from _sections(found, inner)


def _table(section: type[Section], path: tuple[str, ...]) -> list[str]:
    in_list = any(part.endswith("[]") for part in path)
    lines = ["| key | value | default | what it does |", "|---|---|---|---|"]
    for key in keys_of(section).values():
        name = f"`{key.name}`" if in_list else f"`{key.name}`<br>`{env_name((*path, key.name))}`"
        lines.append(f"| {name} | {_cell(expected(key.shape))} | {_default_cell(key)} | {_cell(key.shape.help)} |")
    return lines


def _cell(text: str) -> str:
    return re.sub(r"<(\w+)>", r"&lt;\1&gt;", text.replace("|", "\\|"))


def _default_cell(key: Key) -> str:
    if key.default is NODEFAULT:
        return "required"
    if section_of(key.shape.type) is not None:
        return "see below"
    return f"`{_yaml(key)}`"


def masked(config: Config) -> dict[str, Any]:
    """The configuration as plain values by their names in the file, with every secret replaced.

    References (`env:NAME`) are no secrets and stay. Passwords inside URLs are replaced too.
    """
    return _masked_section(config)


def _masked_section(section: Section) -> dict[str, Any]:
    values = {}
    for (name, key), attribute in zip(keys_of(type(section)).items(), section.__struct_fields__, strict=True):
        values[name] = _masked_value(getattr(section, attribute), key)
    return values


def _masked_value(value: Any, key: Key) -> Any:
    if isinstance(value, Section):
        return _masked_section(value)
    if isinstance(value, tuple):
        return [_masked_value(each, key) for each in value]
    if isinstance(value, dict):
        free = isinstance(key.shape.type, inspect.DictType) and isinstance(
            shape_of(key.shape.type.value_type).type, inspect.AnyType
        )
        return _masked_mapping(value) if free or key.name == "headers" else msgspec.to_builtins(value)
    if isinstance(value, str):
        return _masked_text(value) if key.secret else _without_password(value)
    return msgspec.to_builtins(value)


def _masked_mapping(values: dict[str, Any]) -> dict[str, Any]:
    return {name: _masked_free(value, name) for name, value in values.items()}


def _masked_free(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return _masked_mapping(value)
    if isinstance(value, list):
        return [_masked_free(each, name) for each in value]
    secret = _SECRET_NAME.search(name.lower().replace("_", "-")) is not None and not name.lower().endswith("url")
    if secret and value is not None:
        return _masked_text(str(value))
    return _without_password(value) if isinstance(value, str) else value


def _masked_text(value: str) -> str:
    if reference(value).kind != "plain":
        return value
    url = urlsplit(value) if "://" in value else None
    if url is not None and url.scheme in ("redis", "rediss", "unix", "postgresql", "sqlite"):
        return _without_password(value)
    return MASK


def _without_password(value: str) -> str:
    return _USERINFO.sub(f"{MASK}@", value)
