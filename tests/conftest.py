"""What every test shares: which numbered lines the suite covers, whole runs told from partial ones, Node's presence."""

import pathlib
from collections import defaultdict
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import HealthCheck, settings

from llm_mux import log
from tests.services import missing

ROOT = pathlib.Path(__file__).parents[1]
TESTS = ROOT / "tests"
NODE_TOOLS = ROOT / ".cache" / "node-tools"
DEPLOY_TOOLS = ROOT / ".cache" / "deploy-tools"

COVERED = pytest.StashKey[Mapping[str, list[str]]]()
"""Number -> the ids of the tests that carry it in a `covers` marker."""

# How long an example takes says more about what else the machine does than about the code.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

needs_whole_run = "covers_whole_suite"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{needs_whole_run}: looks at all tests together, so it needs all of them")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    config.stash[COVERED] = _covered(items)
    if not _is_whole(config):
        items[:] = [item for item in items if item.get_closest_marker(needs_whole_run) is None]


def _covered(items: list[pytest.Item]) -> Mapping[str, list[str]]:
    numbers: dict[str, list[str]] = defaultdict(list)
    for item in items:
        for marker in item.iter_markers("covers"):
            for number in marker.args:
                numbers[str(number)].append(item.nodeid)
    return numbers


def _is_whole(config: pytest.Config) -> bool:
    """Whether the whole tests folder was asked for; workers of xdist get the same arguments and collect everything."""
    option = config.option
    if option.keyword or option.markexpr or config.getoption("deselect", None) or config.getoption("ignore", None):
        return False
    return all((ROOT / arg).resolve() in (ROOT, TESTS) for arg in config.args)


@pytest.fixture(autouse=True)
def no_debug_records_of_others() -> Iterator[None]:
    """What a test switched on in this process it switches off again."""
    yield
    log.set_debug(False)


@pytest.fixture(scope="session")
def covered(request: pytest.FixtureRequest) -> Mapping[str, list[str]]:
    """Number -> the tests that hold it."""
    return request.config.stash[COVERED]


@pytest.fixture(scope="session")
def node_tools() -> pathlib.Path:
    """The folder of the installed npm packages; without it the test is skipped, or fails where CI is true."""
    if not (NODE_TOOLS / ".installed").exists():
        missing("the npm packages are not installed: run make node-tools (it needs Node and npm)")
    return NODE_TOOLS


@pytest.fixture(scope="session")
def deploy_tools() -> pathlib.Path:
    """The folder of the programs that scripts/deploy-tools installs; without it as above."""
    if not (DEPLOY_TOOLS / ".installed").exists():
        missing("Helm, OpenBao and moto are not installed: run make deploy-tools")
    return DEPLOY_TOOLS / "bin"
