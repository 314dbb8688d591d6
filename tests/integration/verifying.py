"""`market-pulse verify` of a test's database, against a topic that is made up."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from integration.services.command import DAY, credentials_in, settings_of
from integration.services.database import Database
from market_pulse.cli import verification
from market_pulse.cli.verdicts import Outcome, Verdict
from market_pulse.cli.verification import Span
from market_pulse.producer.archive import Archive
from market_pulse.topic import Topic

_LATER = datetime(2026, 11, 1, tzinfo=UTC)
Verify = Callable[..., dict[str, Outcome]]


def verifying(database: Database, topic: Topic, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Verify:
    """Return a function that verifies all or a span of a database, and an archive; the folder takes the credentials."""
    monkeypatch.setattr(verification, "look_up", lambda *_: topic)
    credentials = credentials_in(folder, "monitor")

    def run(span: Span | None = None, archive: Archive | None = None) -> dict[str, Outcome]:
        found = verification.outcomes(settings_of(database), span or Span(), archive, credentials=credentials)
        return {outcome.check: outcome for outcome in found}

    return run


def of_day(day: date = DAY) -> Span:
    """Return a day that was over long ago."""
    return Span.of(day, "XNYS", _LATER)


def failed(outcomes: dict[str, Outcome]) -> dict[str, tuple[str, ...]]:
    """Return the examples of the checks that failed; none may have gone unasked."""
    unasked = [outcome for outcome in outcomes.values() if outcome.verdict is Verdict.NOT_ASKED]
    assert unasked == []
    return {name: outcome.examples for name, outcome in outcomes.items() if outcome.verdict is Verdict.FAILED}
