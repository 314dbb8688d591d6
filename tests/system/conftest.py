"""One deployment for the whole session: a lab host costs minutes."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.browser import browser as browser
from system.deployment import Deployment
from system.host import Host
from system.market import open_for

LOUDEST = ("-vvv", "--diff")
_LAST = Path(__file__).with_name("test_secrets.py")
_FAULTS = "faults"
# Longer than a test takes; the few that take more ask for more.
_A_TEST_SECONDS = 600


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put labs of their own first, as the market of the shared one closes, and look for secrets after all else.

    Between them the faults stand as one file would: after what looks at a host that nobody has disturbed.
    """

    def place(item: pytest.Item) -> tuple[bool, bool, str]:
        name = f"test_{_FAULTS}" if item.path.parent.name == _FAULTS else item.path.stem
        return item.path == _LAST, "deployment" in getattr(item, "fixturenames", ()), name

    items.sort(key=place)


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A fresh lab host that the playbook has set up, after a dry run on it that must not fail.

    With MARKET_PULSE_KEEP_LAB set, the host of an earlier session is brought up to date, used and kept.
    """
    deployed = Deployment("default", tmp_path_factory.mktemp("deployment") / "molecule.log")
    if os.environ.get("MARKET_PULSE_KEEP_LAB"):
        deployed.molecule("create")
        deployed.molecule("converge", *LOUDEST)
        yield deployed
        return
    deployed.molecule("destroy")
    try:
        for action in ("create", "check"):
            deployed.molecule(action)
        # As loud as it can be, for test_secrets.py reads what it has said.
        deployed.molecule("converge", *LOUDEST)
        yield deployed
    finally:
        deployed.molecule("destroy")


@pytest.fixture(scope="session")
def host(deployment: Deployment) -> Host:
    """The deployed host."""
    return deployment.host()


@pytest.fixture(autouse=True)
def _open_market(request: pytest.FixtureRequest) -> None:
    """Let no test on the deployed host see the market close before it is over."""
    if "deployment" in request.fixturenames:
        open_for(request.getfixturevalue("host"), _A_TEST_SECONDS)
