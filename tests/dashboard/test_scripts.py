"""The page's scripts as a program sees them: each can be read, each names only what is there, and nothing is left over."""

from __future__ import annotations

import pathlib
import re
import shutil
import subprocess

import pytest

from tests.services import missing

STATIC = pathlib.Path(__file__).parents[2] / "llm_mux" / "server" / "dashboard" / "static"
SCRIPTS = sorted(STATIC.glob("*.js"))
IMPORT = re.compile(r'^import\s*(?:\{([^}]*)\}|\* as \w+)\s*from\s*"\./([\w-]+\.js)"', re.MULTILINE)
EXPORT = re.compile(r"^export (?:async )?(?:const|let|function\*?|class) (\w+)", re.MULTILINE)
LOADED = re.compile(r"import\(`\./page-\$\{name\}\.js`\)")


@pytest.fixture(scope="module")
def node() -> str:
    found = shutil.which("node")
    if found is None:
        missing("no node on this machine")
    return found


CHECK = """
import { readFileSync } from "node:fs";
import vm from "node:vm";
for (const file of process.argv.slice(1)) {
  try { new vm.SourceTextModule(readFileSync(file, "utf8"), { identifier: file }); }
  catch (error) { console.log(`${file}: ${error.message}`); }
}
"""


def complaints(node: str, *files: pathlib.Path) -> str:
    """What `node --check` would say of each file, without a node for each."""
    command = [node, "--no-warnings", "--experimental-vm-modules", "--input-type=module", "-e", CHECK, "--"]
    done = subprocess.run([*command, *map(str, files)], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_node_can_read_every_script_and_would_find_a_mistake(node: str, tmp_path: pathlib.Path) -> None:
    wrong = tmp_path / "wrong.js"
    wrong.write_text("export const a = ;", encoding="utf-8")
    assert complaints(node, *SCRIPTS) == ""
    assert complaints(node, *SCRIPTS, wrong).startswith(f"{wrong}: ")


def test_every_import_is_there_and_used_and_every_export_is_wanted() -> None:
    texts = {path.name: path.read_text(encoding="utf-8") for path in SCRIPTS}
    exported = {name: set(EXPORT.findall(text)) for name, text in texts.items()}
    wanted: dict[str, set[str]] = {name: set() for name in texts}
    for name, text in texts.items():
        for names, source in IMPORT.findall(text):
            given = {each.strip() for each in names.split(",") if each.strip()}
            assert given <= exported[source], (name, source)
            body = IMPORT.sub("", text)
            assert [each for each in given if not re.search(rf"\b{each}\b", body)] == [], (name, "imports and uses not")
            wanted[source] |= given or set(re.findall(r"\bapi\.(\w+)", text))
    assert LOADED.search(texts["app.js"])
    pages = {name for name in texts if name.startswith("page-")}
    for name, names in exported.items():
        left = names - wanted[name] - ({"page"} if name in pages else set())
        assert {each for each in left if len(re.findall(rf"\b{each}\b", texts[name])) < 2} == set(), (name, left)


def test_every_page_of_the_menu_has_a_script_and_every_script_a_page() -> None:
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    titles = re.search(r"const TITLES = \{(.*?)\};", (STATIC / "app.js").read_text(encoding="utf-8"), re.DOTALL)
    assert titles is not None
    named = set(re.findall(r"(\w+):", titles[1]))
    assert named == set(re.findall(r'data-nav="(\w+)"', page))
    assert named == {path.stem.removeprefix("page-") for path in STATIC.glob("page-*.js")}
