"""Nothing that was remembered of one test's requests is there for the next one."""

from collections.abc import Iterator

import pytest

from llm_mux.translators.around import AROUND
from llm_mux.translators.memory import MEMORY
from llm_mux.translators.repeated import TOOLS


def forget() -> None:
    MEMORY.clear()
    TOOLS.clear()
    AROUND.clear()


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    forget()
    yield
    forget()
