"""What is verified beside the database: the topic's log, the archive, what does not answer, and which day is meant."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from integration.services.broker import Broker
from integration.services.command import (
    DAY,
    END,
    archive_in,
    credentials_in,
    fill,
    minute_after,
    settings_of,
    stored_day,
)
from integration.services.database import Database
from integration.verifying import Verify, failed, of_day
from market_pulse.cli import verdicts, verification
from market_pulse.cli.verdicts import Outcome, Verdict
from market_pulse.cli.verification import Span
from market_pulse.errors import TopicError
from market_pulse.kafka_login import Principal
from market_pulse.topic import Topic, look_up


def test_the_log_is_compared_with_what_is_stored(
    database: Database, broker: Broker, topic: str, tmp_path: Path
) -> None:
    settings = settings_of(database, broker, topic)
    fill(broker, topic, END)
    stored_day(database, look_up(broker.login(Principal.CONSUMER), topic).id)
    credentials = credentials_in(tmp_path, "monitor")

    def log() -> Outcome:
        return next(iter(verification.outcomes(settings, Span(), None, credentials=credentials)))

    assert (log().verdict, log().examined) == (Verdict.OK, 3)
    assert "lag 0: 12 offsets" in log().sentence
    broker.delete_records(topic, 0, before=5)
    fill(broker, topic, 2)
    assert log().verdict is Verdict.OK
    assert "lag 2: 14 offsets" in log().sentence
    broker.delete_records(topic, 0, before=13)
    assert log().examples == (f"{topic} partition 0 begins at offset 13, and offsets 12 to 12 are not stored",)


def test_what_cannot_be_asked_is_told(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: object) -> Topic:
        raise TopicError("topic bars does not exist")

    monkeypatch.setattr(verification, "look_up", silent)
    found = list(verification.outcomes(settings_of(database), Span(), None, credentials=tmp_path))
    assert [outcome.verdict for outcome in found] == [Verdict.NOT_ASKED]
    assert "mp_postgresql_monitor_password does not exist" in found[0].sentence
    credentials_in(tmp_path, "monitor")
    found = list(verification.outcomes(settings_of(database), Span(), None, credentials=tmp_path))
    assert found[0].sentence == "Kafka cannot be asked: topic bars does not exist"
    assert {outcome.verdict for outcome in found[1:-1]} == {Verdict.OK}
    assert verdicts.level(found) == 2


def test_an_account_that_may_not_look_is_told_and_the_rest_is_asked(verified: Verify, database: Database) -> None:
    database.query("REVOKE SELECT ON market.bar_revision FROM market_pulse_monitor")
    outcomes = verified()
    unasked = {name for name, outcome in outcomes.items() if outcome.verdict is Verdict.NOT_ASKED}
    assert unasked == {"tellings", "told", "origins", "bars"}
    assert "permission denied" in outcomes["bars"].sentence
    assert outcomes["latest"].verdict is Verdict.OK
    assert verdicts.level(outcomes.values()) == 2


def test_the_archive_and_the_answers_are_compared(verified: Verify, tmp_path: Path) -> None:
    archive = archive_in(tmp_path / "archive", "r1", "r2", "r3", "r4")
    assert failed(verified(archive=archive)) == {}
    assert verified(archive=archive)["archive"].examined == 4
    lacking = archive_in(tmp_path / "lacking", "r1", "r4")
    assert failed(verified(archive=lacking)) == {
        "archive": ("request r2 for IBM 1min fetched 2026-05-15T13:36:00Z is stored and not archived",)
    }
    more = archive_in(tmp_path / "more", "r1", "r2", "r3", "r4", "r0")
    assert failed(verified(of_day(), archive=more)) == {
        "archive": ("request r0 for IBM 1min fetched 2026-05-15T13:30:00Z is archived, and its answer is not stored",)
    }
    archive_in(tmp_path / "archive", "r0", source="another")
    assert failed(verified(of_day(), archive=archive)) == {}, "what another source told is not this one's account"
    (tmp_path / "more" / "2026-05-15.sqlite3").write_bytes(b"damaged")
    assert "2026-05-15.sqlite3" in failed(verified(archive=more))["archive"][0]


def test_a_day_is_that_of_the_exchange() -> None:
    span = Span.of(DAY, "XNYS", datetime(2026, 5, 15, 4, tzinfo=UTC))
    assert span == Span(minute_after(-570), minute_after(870))
    with pytest.raises(ValueError, match="2026-05-15 has not begun in America/New_York"):
        Span.of(DAY, "XNYS", datetime(2026, 5, 15, 3, 59, tzinfo=UTC))
