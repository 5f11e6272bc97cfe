"""The rules of the code base that a machine can hold: sizes, names, layers, start-up cost, and what the suite covers."""

import ast
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping

import pytest

from tests.covered_numbers import EXEMPT, REQUIRED

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "llm_mux"
MODULES = sorted(PACKAGE.rglob("*.py"))
PURE = ("ir", "wire", "translators", "providers", "routing")

MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 60
IMPORT_CPU_MS = 150

BANNED_MODULES = {"utils", "util", "helpers", "helper", "common", "manager", "service", "handler", "types", "constants"}
BANNED_CLASS = re.compile(r"(Manager|Handler|Service|Helper|Utils?|Processor|Orchestrator|Context)$")

# Spelled in halves so that this file does not hold what it looks for.
BANNED_TEXT = re.compile(
    "|".join(["TO" + "DO", "FIX" + "ME", "/wo" + "rk/", "/ro" + "ot/", "/home/" + "[a-z]", r"/tmp/" + "b"])
)
TEXT_FILES = {".py", ".md", ".toml", ".yaml", ".json", ".mjs", ".js", ".html", ".css", ""}
TEXT_FOLDERS = ("llm_mux", "tests", "docs", "benchmarks", "scripts", ".ci")


def _relative(path: pathlib.Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _tree(path: pathlib.Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _texts() -> Iterator[pathlib.Path]:
    yield from (path for path in ROOT.iterdir() if path.is_file() and path.suffix in TEXT_FILES and path.name[0] != ".")
    for folder in TEXT_FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and path.suffix in TEXT_FILES and "__pycache__" not in path.parts:
                yield path


def test_files_stay_under_500_lines() -> None:
    sizes = {_relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {path: size for path, size in sizes.items() if size >= MAX_FILE_LINES} == {}


def test_functions_stay_under_60_lines() -> None:
    long = {
        f"{_relative(path)}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in MODULES
        for node in _functions(_tree(path))
    }
    assert {name: size for name, size in long.items() if size >= MAX_FUNCTION_LINES} == {}


def test_every_module_says_what_lives_in_it() -> None:
    silent = [_relative(path) for path in MODULES if ast.get_docstring(_tree(path)) is None]
    assert silent == []


def test_no_module_or_class_has_a_name_that_says_nothing() -> None:
    modules = [_relative(path) for path in PACKAGE.rglob("*") if path.stem in BANNED_MODULES]
    classes = [
        f"{_relative(path)} {node.name}"
        for path in MODULES
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.ClassDef) and BANNED_CLASS.search(node.name)
    ]
    assert modules + classes == []


def test_no_unfinished_marks_and_no_machine_paths() -> None:
    found = [
        f"{_relative(path)}:{number}"
        for path in _texts()
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if BANNED_TEXT.search(line)
    ]
    assert found == []


def test_a_dataclass_is_made_only_of_what_no_struct_can_say() -> None:
    """Each costs half a millisecond of every start, a struct a hundredth of that."""
    others = []
    for path in MODULES:
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.ClassDef) and any("dataclass" in ast.unparse(each) for each in node.decorator_list):
                hides = re.search(r"(repr|compare|init)=False", ast.unparse(node))
                if not hides and "Exception" not in map(ast.unparse, node.bases):
                    others.append(f"{_relative(path)}: {node.name}")
    assert others == []


def test_the_pure_layers_import_nothing_of_ours_inside_functions() -> None:
    """A first-party import inside a function dodges a cycle, and a cycle means that a layer is missing."""
    hidden = [
        f"{_relative(path)}:{function.lineno} {function.name}"
        for path in MODULES
        if path.relative_to(PACKAGE).parts[0].removesuffix(".py") in PURE
        for function in _functions(_tree(path))
        for node in ast.walk(function)
        if _imports_ours(node)
    ]
    assert hidden == []


def _imports_ours(node: ast.AST) -> bool:
    if isinstance(node, ast.ImportFrom):
        return node.level > 0 or (node.module or "").split(".")[0] == "llm_mux"
    return isinstance(node, ast.Import) and any(name.name.split(".")[0] == "llm_mux" for name in node.names)


def test_the_import_contracts_hold() -> None:
    command = [str(pathlib.Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _python(*arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done


def test_the_translators_import_in_150_ms() -> None:
    """CPU time of the import alone, the best of three: what other processes do does not count."""
    code = (
        "import time; start = time.process_time()\n"
        "import llm_mux.translators, llm_mux.providers\n"
        "print((time.process_time() - start) * 1000)"
    )
    assert min(float(_python("-c", code).stdout) for _ in range(3)) < IMPORT_CPU_MS


HEAVY = (
    "aiohttp",
    "sqlalchemy",
    "alembic",
    "rich",
    "keyring",
    "authlib",
    "cryptography",
    "prometheus_client",
    "asyncio",
)


def test_version_waits_for_nothing_heavy() -> None:
    trace = _python("-X", "importtime", "-m", "llm_mux", "--version").stderr
    loaded = {
        line.rsplit("|", 1)[-1].strip().split(".")[0] for line in trace.splitlines() if line.startswith("import time:")
    }
    assert loaded.isdisjoint(HEAVY), loaded.intersection(HEAVY)


@pytest.mark.covers_whole_suite
def test_every_numbered_line_is_held_by_a_test(covered: Mapping[str, list[str]]) -> None:
    missing = sorted(REQUIRED - covered.keys(), key=_number)
    assert missing == [], f"{len(missing)} of {len(REQUIRED)} numbers have no test: {', '.join(missing)}"


@pytest.mark.covers_whole_suite
def test_no_test_claims_a_number_that_does_not_exist(covered: Mapping[str, list[str]]) -> None:
    known = REQUIRED | EXEMPT.keys()
    assert {number: tests for number, tests in covered.items() if number not in known} == {}


def _number(name: str) -> tuple[str, int, str]:
    digits = re.search(r"\d+", name)
    return name.split("-", maxsplit=1)[0], int(digits.group()) if digits else 0, name
