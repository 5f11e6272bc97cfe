"""The demo model with tools of the kinds that coding tools have: the one that does the task is called, with arguments
that it takes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import jsonschema_rs
import pytest

from llm_mux import ir
from llm_mux.server import demo_script
from llm_mux.translators import registry
from llm_mux.translators.base import Hints

HERE = "You may use tools.\n<env>\n  Working directory: /srv/shop\n</env>"


def tool(name: str, required: tuple[str, ...], **properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


TEXT, NUMBER, YES = {"type": "string"}, {"type": "number"}, {"type": "boolean"}
BASH = tool("Bash", ("command",), command=TEXT, timeout=NUMBER, description=TEXT)
READ = tool("Read", ("file_path",), file_path=TEXT, offset=NUMBER)
WRITE = tool("Write", ("file_path", "content"), file_path=TEXT, content=TEXT)
GLOB = tool("Glob", ("pattern",), pattern=TEXT, path=TEXT)
GREP = tool("Grep", ("pattern", "path"), pattern=TEXT, path=TEXT)
LIST = tool("list_directory", ("dir_path",), dir_path=TEXT)
EXEC = tool("exec_command", ("cmd",), cmd=TEXT, yield_time_ms=NUMBER)
SHELL = tool("shell", ("command", "timeout_ms"), command={"type": "array", "items": TEXT}, timeout_ms=NUMBER)
SLOW = tool("run_shell_command", ("command", "is_background"), command=TEXT, is_background=YES)
EXPLAINED = tool("bash", ("command", "description"), command=TEXT, description=TEXT)
MANY = tool("run_commands", ("commands",), commands={"type": "array", "items": TEXT, "minItems": 1})
OPTIONAL = tool("list_files", (), dir=TEXT, depth=NUMBER)


@dataclass(frozen=True, slots=True)
class Case:
    """`calls` empty: no tool is called."""

    said: str
    tools: tuple[dict[str, Any], ...]
    name: str = ""
    calls: dict[str, Any] = field(default_factory=dict)
    system: str = HERE


ALL = (BASH, READ, WRITE, GLOB, GREP)
CASES = (
    Case("list the files here", (LIST, BASH), "list_directory", {"dir_path": "/srv/shop"}),
    Case("Which files are in this repository?", ALL, "Bash", {"command": "ls"}),
    Case("list the files in src/", (GLOB,), "Glob", {"pattern": "*"}),
    Case("list the files in src/", (EXEC,), "exec_command", {"cmd": "ls src/"}),
    Case("what files are here?", (OPTIONAL,), "list_files", {"dir": "/srv/shop"}),
    Case("read README.md", ALL, "Read", {"file_path": "/srv/shop/README.md"}),
    Case("Summarize `docs/api.md` for me", ALL, "Read", {"file_path": "/srv/shop/docs/api.md"}),
    Case("show me main.py", (EXEC,), "exec_command", {"cmd": "cat main.py"}),
    Case("read README.md", ALL, "Read", {"file_path": "README.md"}, system="no word of a folder"),
    Case("read /etc/hostname", (READ,), "Read", {"file_path": "/etc/hostname"}),
    Case("open https://example.com/a.html or read and/or write", (READ,)),
    Case(
        "create notes.txt with the words good day",
        ALL,
        "Write",
        {"file_path": "/srv/shop/notes.txt", "content": "good day"},
    ),
    Case(
        'create the file /tmp/x/a.txt with the word "it\'s"',
        (SHELL,),
        "shell",
        {"command": ["bash", "-lc", "printf '%s\\n' 'it'\"'\"'s' > /tmp/x/a.txt"], "timeout_ms": 10000},
    ),
    Case("find `total` in the code", ALL, "Grep", {"pattern": "total", "path": "/srv/shop"}),
    Case("run `git status`", (SLOW,), "run_shell_command", {"command": "git status", "is_background": False}),
    Case('"run `date`"\n', (EXPLAINED,), "bash", {"command": "date", "description": "Run a command"}),
    Case("run `ls -la`", (MANY,), "run_commands", {"commands": ["ls -la"]}),
    Case("run `rm -rf /`", (BASH,), "Bash", {"command": "echo 'rm -rf /'"}),
    Case("run `ls; reboot`", (BASH,), "Bash", {"command": "echo 'ls; reboot'"}),
    Case("run `cat a > b`", (BASH,), "Bash", {"command": "echo 'cat a > b'"}),
    Case("which is the working directory?", (BASH,), "Bash", {"command": "pwd"}),
    Case('use Bash {"command": "id -u"}', ALL, "Bash", {"command": "id -u"}),
    Case("Use Bash to list the files", ALL, "Bash", {"command": "ls"}),
    Case("good day", ALL),
    Case("write a poem", (*ALL, tool("write", ("filePath", "content"), filePath=TEXT, content=TEXT))),
    Case("I have already read it and made a list", (tool("read", ("filePath",), filePath=TEXT), OPTIONAL)),
)


def asked(case: Case, **more: Any) -> ir.Response:
    messages = [{"role": "system", "content": case.system}, {"role": "user", "content": case.said}]
    body = {"model": "demo", "messages": messages, "tools": list(case.tools), **more}
    return demo_script.answer(registry.get("openai_chat").decode_request(json.dumps(body).encode(), Hints()))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.said.strip()[:30]} {case.name}")
def test_a_task_becomes_a_call_that_the_tool_takes(case: Case) -> None:
    calls = [part for part in asked(case).choices[0].parts if isinstance(part, ir.ToolCall)]
    assert [call.name for call in calls] == ([case.name] if case.name else [])
    for call in calls:
        given = json.loads(call.arguments)
        schema = next(t["function"]["parameters"] for t in case.tools if t["function"]["name"] == call.name)
        jsonschema_rs.validate(schema, given)
        assert given == case.calls


NODE = {
    "type": "object",
    "properties": {"name": {"type": "string", "minLength": 3}, "next": {"anyOf": [{"type": "null"}, {"$ref": "#"}]}},
    "required": ["name"],
}
SCHEMAS = (
    {"type": "object", "properties": {"n": {"type": "integer", "minimum": 5, "maximum": 9}}, "required": ["n"]},
    {"type": "object", "properties": {"n": {"type": "number", "exclusiveMaximum": 1}}, "required": ["n"]},
    {"type": "object", "properties": {"n": {"type": "integer", "multipleOf": 4}}, "required": ["n"]},
    {"type": "object", "properties": {"how": {"enum": ["fast", "slow"]}, "v": {"const": 2}}, "required": ["how", "v"]},
    {
        "type": "object",
        "properties": {"a": {"type": ["null", "array"], "minItems": 2, "items": TEXT}},
        "required": ["a"],
    },
    {"type": "object", "properties": {"s": {"type": "string", "maxLength": 4}}, "required": ["s"]},
    {"type": "object", "properties": {"t": {"type": "array", "items": NODE, "minItems": 1}}, "required": ["t"]},
    {
        "$defs": {
            "todo": {"type": "object", "properties": {"done": YES, "title": TEXT}, "required": ["done", "title"]}
        },
        "type": "object",
        "properties": {"todos": {"type": "array", "items": {"$ref": "#/$defs/todo"}}},
        "required": ["todos"],
    },
    {"allOf": [{"type": "object", "properties": {"a": TEXT}, "required": ["a"]}, {"properties": {"b": YES}}]},
)


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: str(schema)[:50])
@pytest.mark.parametrize("name", ["bash", "update_plan"])
def test_a_forced_tool_gets_what_its_schema_wants(schema: dict[str, Any], name: str) -> None:
    forced = {"type": "function", "function": {"name": name, "parameters": schema}}
    choice = {"type": "function", "function": {"name": name}}
    (call,) = asked(Case("good day to you", (forced,)), tool_choice=choice).choices[0].parts
    assert isinstance(call, ir.ToolCall)
    jsonschema_rs.validate(schema, json.loads(call.arguments))


PLACES = (
    ("<environment_context>\n  <cwd>/srv/a b</cwd>\n</environment_context>", "/srv/a b"),
    (" - Primary working directory: /srv/a\n - Is a git repository: true", "/srv/a"),
    ("I'm currently working in the directory: /srv/a\nHere is", "/srv/a"),
    ("- **Workspace Directories:**\n  - /srv/a\n", "/srv/a"),
    ("Current Working Directory (/srv/a) Files", "/srv/a"),
    ("list files in the current directory, then read docs/commands/ls.md", None),
)


@pytest.mark.parametrize(("told", "folder"), PLACES)
def test_the_folder_is_where_the_client_says_it_works(told: str, folder: str | None) -> None:
    calls = asked(Case("read a.md", (READ,), system=told)).choices[0].parts
    assert isinstance(calls[0], ir.ToolCall)
    assert json.loads(calls[0].arguments) == {"file_path": f"{folder}/a.md" if folder else "a.md"}


def test_what_clients_put_around_the_words_is_not_what_was_said() -> None:
    parts = [
        {"type": "text", "text": "<system-reminder>\nread secret.txt\n</system-reminder>"},
        {"type": "text", "text": "good day"},
        {"type": "text", "text": "<system>\n# Environment\nlist the files\n</system>"},
    ]
    body = {"model": "demo", "messages": [{"role": "user", "content": parts}], "tools": list(ALL)}
    request = registry.get("openai_chat").decode_request(json.dumps(body).encode(), Hints())
    assert demo_script.answer(request).choices[0].parts == (ir.Text("You said: good day"),)
