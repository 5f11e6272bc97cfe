"""Where a real coding tool works in a test: a fresh home, a fresh git repository, and the installed programs.

Nothing else is reachable: every other address goes to a proxy that is not there.
"""

import os
import pathlib
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

TIMEOUT_S = 120
NOWHERE = {"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1,localhost"}


@dataclass(frozen=True, slots=True)
class Workplace:
    """A fresh home, a fresh git repository, and the installed tools."""

    home: pathlib.Path
    repository: pathlib.Path
    binaries: pathlib.Path

    @property
    def file(self) -> pathlib.Path:
        return self.repository / "greeting.txt"

    @property
    def task(self) -> str:
        return f"create the file {self.file} with the word ahoy"

    def environment(self) -> dict[str, str]:
        """The tools' own Node comes first, which may be newer than the machine's."""
        return {
            "PATH": f"{self.binaries}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.home),
            "LLM_MUX_HOME": str(self.home / "mux"),
            "LLM_MUX_KEYRING": "file",
        }

    def run(self, tool: str, *arguments: str, **settings: str) -> str:
        """What the tool printed; it must succeed."""
        return self._done([str(self.binaries / tool), *arguments], {**NOWHERE, **settings})

    def mux(self, *arguments: str, **settings: str) -> str:
        """What `llm-mux` printed, for a person with this home; it must succeed."""
        return self._done([sys.executable, "-m", "llm_mux", *arguments], settings)

    def _done(self, command: list[str], settings: Mapping[str, str]) -> str:
        done = subprocess.run(
            command,
            cwd=self.repository,
            env={**self.environment(), **settings},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout
