"""The fixtures that put every client protocol in front of every upstream format."""

import pathlib
import subprocess
from collections.abc import Iterator, Mapping

import pytest

from tests.clients.conversation import Driver
from tests.clients.crossing import (
    DIRECT,
    DRIVERS,
    Crossing,
    Mode,
    Mux,
    Play,
    alias,
    all_drivers,
    config,
    failing_alias,
)
from tests.clients.javascript import NodeClients
from tests.clients.played import MODELS, Model, Played, played
from tests.clients.workplace import Workplace
from tests.daemon import management_key, process_daemon
from tests.upstreams.aimock import UPSTREAMS, AiMock, Upstream, aimock


@pytest.fixture(scope="session")
def mock(node_tools: pathlib.Path) -> Iterator[AiMock]:
    with aimock(node_tools) as running:
        yield running


@pytest.fixture(scope="session")
def played_upstream() -> Iterator[Played]:
    with played() as running:
        yield running


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a daemon with the demo model."""
    with process_daemon(tmp_path_factory.mktemp("demo"), {}, "--demo") as daemon:
        yield daemon.url


@pytest.fixture(scope="session")
def daemon_of_clients(mock: AiMock, played_upstream: Played, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mux]:
    """What the clients ask: the daemon, or in direct mode the mock."""
    if DIRECT:
        yield Mux(mock.url)
        return
    home = tmp_path_factory.mktemp("mux")
    key = management_key(home)
    with process_daemon(home, config(mock, played_upstream)) as daemon:
        yield Mux(daemon.url, key)


@pytest.fixture(scope="session")
def mux(daemon_of_clients: Mux) -> str:
    """The URL the clients use."""
    return daemon_of_clients.url


@pytest.fixture
def no_rests(daemon_of_clients: Mux) -> None:
    """For tests that make an upstream fail: what failed before does not count."""
    daemon_of_clients.forget_failures()


@pytest.fixture(scope="session")
def nodes(mux: str, node_tools: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeClients]:
    made = NodeClients(mux, node_tools, tmp_path_factory.mktemp("node"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def drivers(mux: str, nodes: NodeClients) -> Iterator[Mapping[str, Driver]]:
    with all_drivers(mux, nodes) as made:
        yield made


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
    mock.forget()
    if DIRECT:
        return Crossing(driver, upstream, mode, mock, upstream.model, upstream.model)
    return Crossing(driver, upstream, mode, mock, alias(upstream), failing_alias(upstream))


@pytest.fixture(params=MODELS, ids=lambda model: f"to-{model.format}")
def model(request: pytest.FixtureRequest) -> Model:
    found: Model = request.param
    return found


@pytest.fixture
def play(driver: Driver, model: Model, mode: Mode, played_upstream: Played) -> Play:
    return Play(driver, model, mode, played_upstream)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Crossings that cannot be: AWS's SDK cannot read the mock's binary streams as they are (the played upstream
    has some that it can), and straight to the mock each SDK speaks its own format only."""
    items[:] = [item for item in items if _is_possible(item)]


def _is_possible(item: pytest.Item) -> bool:
    params = getattr(getattr(item, "callspec", None), "params", {})
    upstream, driver, mode = (params.get(name) for name in ("upstream", "driver", "mode"))
    if "crossing" not in getattr(item, "fixturenames", ()) or upstream is None or driver is None:
        return True
    if DIRECT and DRIVERS[driver].protocol != upstream.format:
        return False
    return (driver, upstream.format, mode) != ("bedrock", "bedrock", "stream")


@pytest.fixture
def workplace(tmp_path: pathlib.Path, node_tools: pathlib.Path) -> Workplace:
    repository = tmp_path / "repository"
    subprocess.run(["git", "init", "--quiet", str(repository)], check=True)
    home = tmp_path / "home"
    (home / ".codex").mkdir(parents=True)
    return Workplace(home, repository, node_tools / "node_modules" / ".bin")
