"""The fixtures that put every client protocol in front of every upstream format."""

import pathlib
import subprocess
from collections.abc import Iterator, Mapping

import pytest

from tests.clients.conversation import Driver
from tests.clients.crossing import DIRECT, DRIVERS, Crossing, Mode, alias, config
from tests.clients.workplace import Workplace
from tests.daemon import process_daemon
from tests.upstreams.aimock import UPSTREAMS, AiMock, Upstream, aimock


@pytest.fixture(scope="session")
def mock(node_tools: pathlib.Path) -> Iterator[AiMock]:
    with aimock(node_tools) as running:
        yield running


@pytest.fixture(scope="session")
def mux(mock: AiMock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL the clients use: the daemon's, or in direct mode the mock's."""
    if DIRECT:
        yield mock.url
        return
    with process_daemon(tmp_path_factory.mktemp("mux"), config(mock)) as daemon:
        yield daemon.url


@pytest.fixture(scope="session")
def drivers(mux: str) -> Iterator[Mapping[str, Driver]]:
    made = {name: driver(mux) for name, driver in DRIVERS.items()}
    yield made
    for driver in made.values():
        driver.close()


@pytest.fixture(params=list(DRIVERS))
def driver(request: pytest.FixtureRequest, drivers: Mapping[str, Driver]) -> Driver:
    return drivers[request.param]


@pytest.fixture(params=UPSTREAMS, ids=lambda upstream: f"to-{upstream.format}")
def upstream(request: pytest.FixtureRequest) -> Upstream:
    found: Upstream = request.param
    return found


@pytest.fixture(params=["whole", "stream"])
def mode(request: pytest.FixtureRequest) -> Mode:
    found: Mode = request.param
    return found


@pytest.fixture
def crossing(driver: Driver, upstream: Upstream, mode: Mode, mock: AiMock) -> Crossing:
    if DIRECT and driver.protocol != upstream.format:
        pytest.skip("straight to the mock each SDK speaks its own format only")
    if (driver.protocol, upstream.format, mode) == ("bedrock", "bedrock", "stream"):
        pytest.skip(
            "AWS's SDK cannot read the mock's binary stream as it is; tests/server/test_bedrock.py has one it can"
        )
    mock.forget()
    return Crossing(driver, upstream, mode, mock, upstream.model if DIRECT else alias(upstream))


@pytest.fixture
def workplace(tmp_path: pathlib.Path, node_tools: pathlib.Path) -> Workplace:
    repository = tmp_path / "repository"
    subprocess.run(["git", "init", "--quiet", str(repository)], check=True)
    home = tmp_path / "home"
    (home / ".codex").mkdir(parents=True)
    return Workplace(home, repository, node_tools / "node_modules" / ".bin")
