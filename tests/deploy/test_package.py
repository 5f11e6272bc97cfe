"""What is installed: the wheel and the source archive hold all of the program, with the dashboard's files, and no more."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[2]
BUILD = "from setuptools import build_meta as b; b.build_sdist('dist'); b.build_wheel('dist')"
SITE = "from llm_mux.server.dashboard import files; print(files.__file__); print(*files.site().files)"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with the wheel and the archive, made from a copy of the sources as pip would make them."""
    folder = tmp_path_factory.mktemp("package")
    shutil.copytree(ROOT / "llm_mux", folder / "llm_mux", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder)
    command = [sys.executable, "-W", "ignore", "-c", BUILD]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "dist"


def sources() -> set[str]:
    files = (path for path in (ROOT / "llm_mux").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT).as_posix() for path in files}


def test_the_wheel_is_the_program_and_nothing_else(built: pathlib.Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        about = {name.partition(".dist-info/")[2] for name in archive.namelist()} - {""}
        entries = archive.read(next(name for name in archive.namelist() if name.endswith("entry_points.txt")))
    assert names == sources()
    assert "llm_mux/server/dashboard/static/index.html" in names
    assert {"METADATA", "RECORD", "WHEEL", "entry_points.txt"} <= about
    assert b"llm-mux = llm_mux.cli:main" in entries
    assert wheel.name.endswith("-py3-none-any.whl")


def test_the_source_archive_builds_the_same(built: pathlib.Path) -> None:
    (made,) = built.glob("*.tar.gz")
    with tarfile.open(made) as archive:
        names = {name.partition("/")[2] for name in archive.getnames() if archive.getmember(name).isfile()}
    program = {name for name in names if name.startswith("llm_mux/")}
    assert program == sources()
    assert {"pyproject.toml", "README.md"} <= names
    odd = {name for name in names - program if not name.startswith("llm_mux.egg-info/")}
    assert odd <= {"pyproject.toml", "README.md", "setup.cfg", "PKG-INFO"}


def test_the_dashboard_is_served_from_what_was_installed(built: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", SITE], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )
    place, _, files = done.stdout.partition("\n")
    assert pathlib.Path(place).is_relative_to(tmp_path)
    static = ROOT / "llm_mux" / "server" / "dashboard" / "static"
    assert set(files.split()) == {path.relative_to(static).as_posix() for path in static.rglob("*") if path.is_file()}
