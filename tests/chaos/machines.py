"""Network namespaces as machines of their own: each has one address, and reaches this one at `HERE`.

Needs root, `ip` of iproute2 and a kernel that lets us; `machines` skips where that is not so.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from tests.services import missing

_NET = f"198.18.{os.getpid() % 250 + 1}"
"""Of the addresses that are kept for tests between networks."""
HERE = f"{_NET}.250"


@dataclass(frozen=True)
class Machine:
    """`inside` stands before a command that is to run there."""

    name: str
    address: str

    @property
    def inside(self) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self.name)


def _ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True, capture_output=True, text=True)


@contextlib.contextmanager
def machines(count: int) -> Iterator[list[Machine]]:
    """So many of them, until the block ends."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("ip") is None:
        missing("network namespaces need root and iproute2")
    made = [Machine(f"mux{os.getpid()}-{number}", f"{_NET}.{4 * number + 2}") for number in range(count)]
    with contextlib.ExitStack() as stack:
        try:
            _ip(f"addr add {HERE}/32 dev lo")
            stack.callback(_ip, f"addr del {HERE}/32 dev lo")
            for number, machine in enumerate(made):
                _connected(stack, machine, number)
        except subprocess.CalledProcessError as error:
            missing(f"no network namespaces here: {error.stderr.strip()}")
        yield made


def _connected(stack: contextlib.ExitStack, machine: Machine, number: int) -> None:
    ours, theirs, gate = f"m{os.getpid()}h{number}", f"m{os.getpid()}g{number}", f"{_NET}.{4 * number + 1}"
    _ip(f"netns add {machine.name}")
    stack.callback(_ip, f"netns del {machine.name}")
    _ip(f"link add {ours} type veth peer name {theirs}")
    _ip(f"link set {theirs} netns {machine.name}")
    _ip(f"addr add {gate}/30 dev {ours}")
    _ip(f"link set {ours} up")
    for words in (f"addr add {machine.address}/30 dev {theirs}", f"link set {theirs} up", "link set lo up"):
        _ip(f"-n {machine.name} {words}")
    _ip(f"-n {machine.name} route add default via {gate}")
