"""What worker 0 has heard of the others."""

import pytest

from llm_mux.server.recent import Recent

TOLD = [
    pytest.param([(1, 10, 5), (1, 10, 8)], [5, 3], id="each time what is new"),
    pytest.param([(1, 10, 5), (1, 10, 5), (1, 10, 7)], [5, 0, 2], id="told again, for the answer came late"),
    pytest.param([(1, 10, 7), (1, 10, 5), (1, 10, 8)], [7, 0, 1], id="the first time arrives after the second"),
    pytest.param([(1, 10, 5), (1, 11, 3)], [5, 3], id="its successor counts anew"),
    pytest.param([(1, 10, 5), (2, 12, 4)], [5, 4], id="another worker"),
]


@pytest.mark.parametrize(("told", "new"), TOLD)
def test_a_record_that_is_told_again_is_not_taken_twice(told: list[tuple[int, int, int]], new: list[int]) -> None:
    recent = Recent()
    assert [recent.unheard(*each) for each in told] == new
