"""One cluster for the whole session: six hosts cost more minutes than one."""

import os
from collections.abc import Iterator

import pytest

from system.cluster.cluster import Cluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Six fresh lab hosts that the playbook has set up.

    With MARKET_PULSE_KEEP_LAB set, those of an earlier session are brought up to date, used and kept.
    """
    # Its own socket is longer than the folder's name, and the kernel takes 108 characters.
    made = Cluster(tmp_path_factory.mktemp("c"), "cluster")
    keep = bool(os.environ.get("MARKET_PULSE_KEEP_LAB"))
    if not keep:
        made.down()
    try:
        made.up()
        made.converge()
        yield made
    finally:
        if not keep:
            made.down()
