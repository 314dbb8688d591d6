"""What every scenario gets, and the score card at the end of the run."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from system.faults.scorecard import Card, machine
from system.faults.trial import Trial
from system.host import Host

_CARD = pytest.StashKey[Card]()


@pytest.fixture
def trial(host: Host, pytestconfig: pytest.Config) -> Trial:
    """How a scenario tries its fault."""
    return Trial(host, pytestconfig.stash.setdefault(_CARD, Card()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show the run's rows; the Markdown file that MARKET_PULSE_SCORECARD names gets them, too."""
    card = config.stash.get(_CARD, Card())
    if not card.rows:
        return
    today = datetime.now(UTC).date()
    terminalreporter.section("score card")
    for row in card.rows:
        terminalreporter.write_line(row.line(today, machine()))
    if path := os.environ.get("MARKET_PULSE_SCORECARD"):
        card.write(Path(path), today, machine())
