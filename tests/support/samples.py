"""The recorded vendor answers, which stay out of the repository because their prices belong to the vendor."""

from pathlib import Path

import pytest

_SAMPLES = Path(__file__).parents[2].parent / "shared" / "vendor-samples"


def sample(name: str) -> Path:
    """Return the path of one recorded answer, or skip the test, visibly, where the recordings are absent."""
    path = _SAMPLES / name
    if not path.exists():
        pytest.skip(f"the recorded answer {name} is not on this machine")
    return path
