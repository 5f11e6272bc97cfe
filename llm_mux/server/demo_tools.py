"""Which of a coding tool's own tools the demo model calls, and for what: a task in plain words becomes a call that a
real tool takes.

Rule: nothing is looked at but the request. A command that is run only shows something, whatever was asked for, except
that a file is written where the user named it. What may be done at all the coding tool and its user decide, as always.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from llm_mux import ir

Kind = Literal["list", "read", "write", "search", "run"]
_TOOLS = {
    "shell": "bash shell exec execcommand executecommand runshellcommand shellcommand localshell runcommand "
    "runcommands runterminalcmd runterminalcommand runinterminal terminal",
    "read": "read readfile readfiles view viewfile openfile",
    "list": "ls list listdir listdirectory listfiles listfolder",
    "glob": "glob findfiles globfilesearch filesearch",
    "search": "grep grepsearch searchfilecontent searchfiles searchtext searchcode searchcodebase ripgrep",
    "write": "write writefile createfile createnewfile writetofile savefile",
    "other": "edit task agent skill question plan todo",
}
"""By what they do, the names that tools of known coding tools have, without case and marks."""
_DOES = {name: does for does, names in _TOOLS.items() for name in names.split()}
_FITS: dict[Kind, tuple[str, ...]] = {
    "list": ("list", "shell", "glob"),
    "read": ("read", "shell"),
    "write": ("write", "shell"),
    "search": ("search", "shell"),
    "run": ("shell",),
}
"""Which tools can do a task, best first."""

_WORDS = r"[\w@+-][\w.@+-]*"
_NAMED = re.compile(
    rf"(?<![\w/.:])[`'\"]?((?:~?/|\.{{1,2}}/)?(?:{_WORDS}/)*(?:{_WORDS}\.[A-Za-z]\w{{0,9}}|README|LICENSE|Makefile|Dockerfile)"
    rf"|/(?:{_WORDS}/)*{_WORDS})"
    r"(?![\w/])"
)
_FOLDER = re.compile(
    rf"\b(?:in|of|under|at|inside|ls)\s+[`'\"]?((?:~|\.{{1,2}})?/(?:{_WORDS}/?)*|{_WORDS}/(?:{_WORDS}/?)*)"
)
_QUOTED = re.compile(r"`([^`\n]+)`|\"([^\"\n]+)\"|'([^'\n]+)'")
_WRITE = re.compile(r"\b(create|write|make|save|add)\b", re.IGNORECASE)
_READ = re.compile(
    r"\b(read|open|show|print|cat|display|view|summari[sz]e|explain|look (?:at|into)|what(?:'s| is) in)\b",
    re.IGNORECASE,
)
_LIST = re.compile(
    r"\b(list|ls|show|which|what|see|explore|look around|count)\b.*\b(files?|folders?|directory|directories|repo|"
    r"repository|project|codebase|here)\b|^\s*ls\b",
    re.IGNORECASE | re.DOTALL,
)
_SEARCH = re.compile(r"\b(grep|search|find|look for)\b", re.IGNORECASE)
_RUN = re.compile(r"\b(run|execute)\b", re.IGNORECASE)
_WHERE = re.compile(
    r"\b(?:where am i|where are we|(?:working|current) (?:directory|folder)|pwd|run an?y? ?(?:shell )?command)\b",
    re.IGNORECASE,
)
_WITH = re.compile(
    r"\b(?:with|containing|saying|that says)\s+(?:(?:the|this|a|one)\s+)?"
    r"(?:(?:words?|texts?|lines?|contents?)\s*)?:?\s*(.+)",
    re.IGNORECASE | re.DOTALL,
)
_PLACE = re.compile(
    r"<cwd>\s*([^<\n]+?)\s*</cwd>|"
    r"(?:working|current|workspace)[ _]*(?:in the )?director(?:y|ies)\W{1,12}?((?:/|[A-Za-z]:\\)[^\s<>\"')`,]*)",
    re.IGNORECASE,
)
_HARMLESS = re.compile(
    r"(?:(?:echo|ls|pwd|date|whoami|uname|hostname|id|uptime|wc|head|tail|cat|which)|git (?:status|log|diff|branch))"
    r"(?: [\w@%+=:,./ -]*)?"
)
_GREETING = "Hello from the demo."
_MOST_TEXT = 2000


class Task(Struct, frozen=True):
    """What the user wants done. `file` and `folder` are absolute where the client said where it works; `pattern` None:
    nothing is looked for."""

    kind: Kind
    file: str
    folder: str
    command: str
    content: str
    pattern: str | None

    @property
    def title(self) -> str:
        """A few words for tools that want to be told why."""
        what = {"list": "List files", "read": "Read a file", "write": "Write a file", "search": "Search files"}
        return what.get(self.kind, "Run a command")


def named(tool: str, said: str) -> bool:
    """Whether the words name a tool. A name that is a usual word too has to stand in quotes or before its arguments."""
    strict = _does(tool) is not None and tool.lower() == tool and "_" not in tool
    name = re.escape(tool)
    return re.search(rf"[`'\"]{name}[`'\"]|\b{name}\s*\{{" if strict else rf"(?<!\w){name}(?!\w)", said) is not None


def fitting(said: str, tools: Sequence[ir.Tool]) -> ir.Tool | None:
    """The tool that does what the words ask for; None: they ask for nothing that one of them does."""
    kind = _kind(_bare(said))
    for does in () if kind is None else _FITS[kind]:
        for tool in tools:
            if not tool.free_text and _does(tool.name) == does:
                return tool
    return None


def task_for(said: str, place: str | None, tool: str) -> Task:
    """What a tool is to do for the user: what was said if it can do that, else something small of its kind. `place` is
    the folder that the client works in."""
    said = _bare(said)
    kind = _task_of(said, tool)
    found = _NAMED.search(said)
    file = found[1] if found else "demo.txt" if kind == "write" else "README.md"
    folder = where[1] if kind in ("list", "search") and (where := _FOLDER.search(said)) else "."
    quoted = _quoted(said)
    content = _content(said[found.end() :] if found else said)
    term = quoted or _search_word(said)
    command = _command(kind, file, folder, term, content) if kind != "run" else _harmless(quoted) if quoted else "pwd"
    pattern = {"search": term, "list": "*"}.get(kind)
    return Task(kind, _at(place, file), _at(place, folder), command, content, pattern)


def folder_of(request: ir.Request) -> str | None:
    """The folder that the client works in, where it says so."""
    for message in request.messages:
        for part in message.parts if message.role != "assistant" else ():
            if isinstance(part, ir.Text) and (found := _PLACE.search(part.text)):
                return str(found[1] or found[2]).rstrip(".")
    return None


def answered(tool: str | None, text: str) -> str:
    """What is said of a tool's result."""
    shown = text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}..."
    return f"{tool or 'The tool'} answered: {shown}"


def _bare(said: str) -> str:
    """Without the quotes that some tools put around everything."""
    text = said.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _does(tool: str) -> str | None:
    return _DOES.get(re.sub(r"[^a-z]", "", tool.lower()))


def _kind(said: str) -> Kind | None:
    """Which task the words are about."""
    found, quoted = _NAMED.search(said), _quoted(said)
    if found and _WRITE.search(said[: found.start()]):
        return "write"
    if quoted and _RUN.search(said):
        return "run"
    if quoted and _SEARCH.search(said):
        return "search"
    if found and _READ.search(said):
        return "read"
    if _WHERE.search(said):
        return "run"
    return "list" if _LIST.search(said) else None


def _task_of(said: str, tool: str) -> Kind:
    does, meant = _does(tool), _kind(said)
    if meant is not None and does in _FITS[meant]:
        return meant
    usual: tuple[Kind, ...] = ("list", "read", "write", "search")
    return next((kind for kind in usual if does in _FITS[kind] and does != "shell"), "run")


def _command(kind: Kind, file: str, folder: str, term: str, content: str) -> str:
    """A shell command for a task."""
    match kind:
        case "write":
            return f"printf '%s\\n' {shlex.quote(content)} > {shlex.quote(file)}"
        case "read":
            return f"cat {shlex.quote(file)}"
        case "search":
            return f"grep -rn -- {shlex.quote(term)} {shlex.quote(folder)}"
        case _:
            return "ls" if folder == "." else f"ls {shlex.quote(folder)}"


def _harmless(command: str) -> str:
    """The command, if all that it does is to show something; else one that shows the command."""
    return command if _HARMLESS.fullmatch(command) else f"echo {shlex.quote(command)}"


def _quoted(said: str) -> str:
    found = re.search(r"`([^`\n]+)`", said) or _QUOTED.search(said)
    return next(filter(None, found.groups()), "") if found else ""


def _search_word(said: str) -> str:
    found = re.search(r"\b(?:grep|search|find|look)\s+(?:for\s+)?(\w+)", said, re.IGNORECASE)
    return found[1] if found else "demo"


def _content(after: str) -> str:
    """What a new file is to hold."""
    found = _WITH.search(after)
    if found is None:
        return _GREETING
    quoted = _QUOTED.match(found[1])
    return (next(filter(None, quoted.groups()), "") if quoted else found[1].strip()) or _GREETING


def _at(place: str | None, path: str) -> str:
    if place is None or path.startswith(("/", "~")):
        return path
    return place if path == "." else f"{place.rstrip('/')}/{path.removeprefix('./')}"
