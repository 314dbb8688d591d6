"""Molecule's scenarios, each from nothing to a verified deployment, with a second run that changes nothing.

`default` is what all other system tests run on, action by action.
"""

from pathlib import Path

import pytest

from support.repository import ANSIBLE
from system.deployment import Deployment

_SCENARIOS = sorted(path.parent.name for path in (ANSIBLE / "molecule").glob("*/molecule.yml"))
_SECONDS = 3000


@pytest.mark.slow
@pytest.mark.parametrize("scenario", [name for name in _SCENARIOS if name != "default"])
def test_a_scenario_holds_from_end_to_end(scenario: str, tmp_path: Path) -> None:
    Deployment(scenario, tmp_path / "molecule.log", seconds=_SECONDS).molecule("test")
