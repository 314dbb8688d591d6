"""Has the pictures of docs/performance.md drawn, by `bench.plot`."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

from bench.tools import python_of

_PROGRAM = Path(__file__).with_name("plot.py")
_FOLDER = Path(__file__).parents[2] / "docs"


def draw(name: str, wish: Mapping[str, object]) -> None:
    """Draw ``docs/performance-<name>.svg``."""
    target = _FOLDER / f"performance-{name}.svg"
    subprocess.run([python_of("plot"), _PROGRAM, target], input=json.dumps(wish), text=True, check=True)
