"""One deployment for the whole session: a lab host costs minutes."""

import os
from collections.abc import Iterator

import pytest

from system.deployment import Deployment
from system.host import Host


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A fresh lab host that the playbook has set up, after a dry run on it that must not fail.

    With MARKET_PULSE_KEEP_LAB set, the host of an earlier session is brought up to date, used and kept.
    """
    deployed = Deployment("default", tmp_path_factory.mktemp("deployment") / "molecule.log")
    if os.environ.get("MARKET_PULSE_KEEP_LAB"):
        deployed.molecule("create")
        deployed.molecule("converge")
        yield deployed
        return
    deployed.molecule("destroy")
    try:
        for action in ("create", "check", "converge"):
            deployed.molecule(action)
        yield deployed
    finally:
        deployed.molecule("destroy")


@pytest.fixture(scope="session")
def host(deployment: Deployment) -> Host:
    """The deployed host."""
    return deployment.host()
