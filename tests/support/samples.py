"""The recorded vendor answers, which stay out of the repository because their prices belong to the vendor."""

import os
from pathlib import Path

import pytest

_SAMPLES = Path(__file__).parents[2].parent / "shared" / "vendor-samples"


def sample(name: str) -> Path:
    """Return the path of one recorded answer; where the recordings are absent, skip the test, or in CI fail it."""
    path = _SAMPLES / name
    if not path.exists():
        assert not os.environ.get("CI"), f"{path} is missing: without the recordings nothing is proved about answers"
        pytest.skip(f"the recorded answer {name} is not on this machine")
    return path


def samples() -> list[Path]:
    """Return the paths of all recorded answers; none where the recordings are absent."""
    return sorted(_SAMPLES.glob("*.json")) + sorted(_SAMPLES.glob("*.csv"))
