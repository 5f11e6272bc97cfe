"""The numbered bugs, traps and needs that the suite has to hold, and those that are exempt, each with its reason.

`FB-n` is a bug that programs of this kind have shipped and fixed, `FB-3B` one they still ship, `PF-n` a trap of the
wire formats, `RC-n` something real clients need, `OP-n` what programs that route among accounts do badly. A test names
what it holds by `@pytest.mark.covers`.
"""

ANTIGRAVITY = "only the Antigravity backend, to which nobody can log in, does this"

EXEMPT = {
    "FB-23": ANTIGRAVITY,
}


def _range(prefix: str, first: int, last: int) -> set[str]:
    return {f"{prefix}-{number}" for number in range(first, last + 1)}


REQUIRED = frozenset(
    (
        _range("FB", 1, 144)
        | {"FB-3B"}
        | _range("PF", 1, 131)
        | {"PF-121b", "PF-138b"}
        | _range("PF", 132, 140)
        | _range("RC", 1, 12)
        | _range("OP", 1, 11)
    )
    - EXEMPT.keys()
)
