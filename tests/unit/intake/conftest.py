"""An intake, and the process that begins anew with what is on disk."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from market_pulse.producer.intake import Intake
from support.intake import intake_in


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Intake]:
    def build(**options: Any) -> Intake:
        return intake_in(tmp_path, **options)

    return build


@pytest.fixture
def intake(make: Callable[..., Intake]) -> Intake:
    return make()
