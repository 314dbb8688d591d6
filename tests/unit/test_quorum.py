import uuid

import pytest

from market_pulse import health, quorum
from market_pulse.errors import NodeError
from market_pulse.health import ControllerFacts

META = "#\n#Fri Nov 27\ncluster.id=AAAAAAAAQACAAAAAAAAAAQ\ndirectory.id=B-Z6aE8YReaz0xhbIr2_mw\nnode.id=3\nversion=1\n"


def test_a_storage_says_whose_it_is() -> None:
    node, directory = quorum.storage(META)
    assert node == 3
    assert directory == uuid.UUID("07e67a68-4f18-45e6-b3d3-185b22bdbf9b")


@pytest.mark.parametrize("text", ["", "node.id=3\n", "node.id=x\ndirectory.id=B-Z6aE8YReaz0xhbIr2_mw\n"])
def test_one_that_does_not_is_named(text: str) -> None:
    with pytest.raises(NodeError, match=r"meta\.properties has no usable"):
        quorum.storage(text)


def test_a_controller_that_answers_is_healthy_whoever_leads() -> None:
    assert health.controller(ControllerFacts(node_id=4, voters=3)) == (True, "serving: node 4 leads a quorum of 3")
    assert health.controller(ControllerFacts(node_id=5, voters=None)) == (
        True,
        "serving: node 5 does not lead the quorum",
    )
