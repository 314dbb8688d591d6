"""Every number is traced to the answer that it came from, and what is not there is explained."""

import contextlib
import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from integration.services.command import archive_in, credentials_in, minute_after, settings_of, stored_day
from integration.services.database import Database
from integration.services.records import answer_of, records
from market_pulse.cli import moments
from market_pulse.cli.explanation import lineage_of
from market_pulse.cli.lineage import Lineage, lines
from market_pulse.contract import Interval
from market_pulse.producer.archive import Archive
from market_pulse.sessions import Sessions
from market_pulse_stream.sink import Task, store

SESSIONS = Sessions.load("XNYS", date(2026, 5, 1))
Explain = Callable[..., Lineage]


@pytest.fixture
def day(database: Database) -> Task:
    return stored_day(database)


@pytest.fixture
def explain(database: Database, day: Task, tmp_path: Path) -> Explain:
    """Explains a bar of `stored_day`, by the text that an operator types."""
    assert day.partition == 0

    def run(symbol: str, text: str, interval: Interval | None = None, archive: Archive | None = None) -> Lineage:
        moment = moments.read(text, SESSIONS.zone, interval, Interval.ONE_MINUTE)
        credentials = credentials_in(tmp_path, "monitor")
        return lineage_of(settings_of(database), SESSIONS, symbol, moment, archive, credentials=credentials)

    return run


def printed(lineage: Lineage) -> str:
    shown = list(lines(lineage))
    # A path is as long as it is.
    assert [line for line in shown if len(line) > 100 and not line.startswith("   archive   /")] == []
    return "\n".join(shown)


def test_each_telling_of_a_bar(explain: Explain, day: Task, tmp_path: Path) -> None:
    archive = archive_in(tmp_path / "archive", "r1", "r2")
    lineage = explain("IBM", "2026-05-15T09:32", archive=archive)
    assert (lineage.bar_time, lineage.told_by) == (minute_after(2), "r2")
    assert lineage.bar is not None
    assert (lineage.bar.close, lineage.bar.is_final) == (Decimal("11.50"), True)
    first, second = lineage.tellings
    assert (first.request_id, first.partition, first.record_offset) == ("r1", 0, 2)
    assert first.answer is not None
    assert (first.answer.cause, first.answer.told, first.answer.asked_at) == ("poll", 4, minute_after(4))
    assert first.batch is not None
    assert (first.batch.topic, first.batch.topic_id, first.batch.run_id) == ("bars", str(day.topic_id), str(day.run_id))
    assert (first.batch.from_offset, first.batch.until_offset, first.batch.received) == (0, 5, 4)
    assert first.archive is not None
    assert first.archive.file.endswith("archive/2026-05-15.sqlite3")
    expected = {"open": "10.10", "high": "12.00", "low": "9.5000", "close": "11.25", "volume": "1200"}
    assert first.archive.row == expected
    assert (second.request_id, second.record_offset) == ("r2", 5)
    text = printed(lineage)
    for part in (
        "IBM 1min: the bar that begins at 2026-05-15T13:32:00Z, 2026-05-15 09:32 in America/New_York",
        "(read as in the exchange's time, America/New_York)",
        "told 1   open 10.10 high 12.00 low 9.5000 close 11.25 volume 1200, final",
        "told 2   close 11.25 -> 11.50",
        "TIME_SERIES_INTRADAY by poll, asked 2026-05-15T13:34:00Z",
        "bars, partition 0, offset 2",
        "4 received = 3 stored + 0 unchanged + 0 superseded + 1 quarantined",
        "          open 10.10 high 12.00 low 9.5000 close 11.25 volume 1200",
    ):
        assert part in text
    document = json.loads(msgspec.json.encode(lineage))
    assert document["bar"]["close"] == "11.50"
    assert document["tellings"][0]["batch"]["run_id"] == str(day.run_id)
    assert document["tellings"][0]["answer"]["sha256"] == first.answer.sha256


def test_the_bar_that_holds_an_instant_is_meant(explain: Explain) -> None:
    assert explain("IBM", "2026-05-15T13:32:59Z").bar_time == minute_after(2)


def test_without_an_archive_the_rest_is_told(explain: Explain) -> None:
    lineage = explain("MSFT", "2026-05-15T13:30Z")
    assert [telling.archive for telling in lineage.tellings] == [None]
    assert "archive" not in printed(lineage)


def test_a_bar_in_quarantine_is_named_with_its_reason(explain: Explain) -> None:
    lineage = explain("IBM", "2026-05-15T09:33")
    assert (lineage.bar, lineage.tellings) == (None, ())
    assert [(record.reason, record.record_offset, record.request_id) for record in lineage.rejected] == [
        ("high_below_low", 3, "r1")
    ]
    text = printed(lineage)
    assert "no such bar is stored:\n   what told it is in quarantine\n" in text
    assert "in quarantine: high_below_low" in text
    assert "offset 3" in text


def test_a_record_that_was_replayed_since_is_not_in_quarantine(explain: Explain, database: Database) -> None:
    database.query("UPDATE market.quarantine SET replay_fate = 'bar', replayed_at = now() WHERE record_offset = 3")
    assert explain("IBM", "2026-05-15T09:33").rejected == ()


def test_a_stored_bar_is_not_hidden_by_one_in_quarantine_that_begins_later(
    explain: Explain, database: Database
) -> None:
    database.query(
        "INSERT INTO market.quarantine (topic_id, partition, record_offset, topic, reason, detail, key, value)"
        " VALUES (gen_random_uuid(), 0, 0, 't', 'bad_price', '', 'IBM', %s)",
        b'{"symbol":"IBM","interval":"1min","bar_time":"2026-05-15T13:32:30Z","request_id":"r9"}',
    )
    assert explain("IBM", "2026-05-15T13:32:45Z").bar_time == minute_after(2)


def test_a_deleted_bar_shows_its_tellings(explain: Explain, database: Database) -> None:
    database.query("DELETE FROM market.bar WHERE bar_time = %s", minute_after(2))
    lineage = explain("IBM", "2026-05-15T09:32")
    assert lineage.bar is None
    assert lineage.absent_because == ("it was told, as is shown below, and is not there any more",)
    assert [telling.request_id for telling in lineage.tellings] == ["r1", "r2"]


def test_what_the_vendor_and_the_auditor_say_of_an_absent_bar(explain: Explain, database: Database, day: Task) -> None:
    span = {"covers_from": minute_after(0), "covers_until": minute_after(60)}
    silent = answer_of(request_id="r9", told=0, asked_at=minute_after(61), fetched_at=minute_after(61), **span)
    with contextlib.closing(database.connect("writer")) as writer:
        store(writer, Task(day.run_id, 9, day.topic_id, "bars", 0), records(silent, first=12))
    database.query(
        "INSERT INTO market.absence (symbol, interval, trading_date, since, until, bars, reason)"
        " VALUES ('IBM', '1min', '2026-05-15', '2026-05-15T13:50Z', '2026-05-15T13:55Z', 5, 'no_trade')"
    )
    text = " ".join(printed(explain("IBM", "2026-05-15T13:52Z")).split())
    assert "the auditor's reason is no_trade, for 5 bars from 2026-05-15T13:50Z to 2026-05-15T13:55Z" in text
    assert "request r9, asked 2026-05-15T14:31Z, speaks for this bar and does not hold it" in text
    assert explain("IBM", "2026-05-15T14:30Z").absent_because == ("no answer of the vendor speaks for this bar yet",)


@pytest.fixture
def spoken_for(database: Database, day: Task) -> None:
    """Have each answer speak for the bars between its first and its last, as answers do."""
    covers = "covers_from = '2026-05-15T13:30Z', covers_until = '2026-05-15T20:00Z'"
    assert database.query(f"UPDATE market.answer SET {covers} RETURNING request_id") != []
    assert day.partition == 0


@pytest.mark.usefixtures("spoken_for")
def test_an_answer_that_told_a_bar_is_not_said_to_lack_it(explain: Explain, database: Database) -> None:
    assert explain("IBM", "2026-05-15T09:33").absent_because == ("what told it is in quarantine",)
    database.query("DELETE FROM market.bar WHERE bar_time = %s", minute_after(2))
    gone = "it was told, as is shown below, and is not there any more"
    assert explain("IBM", "2026-05-15T09:32").absent_because == (gone,)


@pytest.mark.usefixtures("spoken_for")
@pytest.mark.parametrize(("reason", "is_vendors_word"), [("outage", False), ("missing", False), ("no_trade", True)])
def test_only_where_the_auditor_knows_no_better_the_vendor_lacks_it(
    explain: Explain,
    database: Database,
    reason: str,
    is_vendors_word: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    database.query(
        "INSERT INTO market.absence (symbol, interval, trading_date, since, until, bars, reason)"
        " VALUES ('IBM', '1min', '2026-05-15', '2026-05-15T13:50Z', '2026-05-15T13:55Z', 5, %s)",
        reason,
    )
    text = " ".join(explain("IBM", "2026-05-15T13:52Z").absent_because)
    assert f"the auditor's reason is {reason}" in text
    assert ("the vendor does not have it" in text) is is_vendors_word


@pytest.mark.usefixtures("spoken_for")
def test_a_month_that_has_left_is_where_its_bars_are(explain: Explain, database: Database) -> None:
    database.query("DELETE FROM market.bar")
    database.query("DELETE FROM market.bar_revision")
    database.query(
        "INSERT INTO market.export (parent, month, part, file, row_count, content, sha256, dropped_at)"
        " VALUES ('bar', '2026-05-01', 0, 'bar_2026_05.parquet', 5, 'c', 's', '2026-09-01T03:30Z')"
    )
    (said,) = explain("IBM", "2026-05-15T09:32").absent_because
    way_back = "market-pulse exported 2026-05, on the database's host, prints its bars"
    assert said == f"2026-05 has left the database on 2026-09-01: {way_back}"


def test_where_no_bar_is_expected_that_is_said(explain: Explain) -> None:
    closed = explain("IBM", "2026-05-16T10:00")
    assert closed.absent_because == ("NYSE was closed on 2026-05-16: no bar is expected",)


def test_a_replay_from_quarantine_is_told(explain: Explain, database: Database) -> None:
    database.query(
        "INSERT INTO market.quarantine_replay (topic_id, partition, log_epoch, recorded_at, decoded, stored, unchanged,"
        " superseded, answers, still_rejected, requested_by)"
        " SELECT topic_id, 0, 0, '2026-06-01Z', 1, 1, 0, 0, 0, 0, 'root' FROM market.stream_position"
    )
    database.query("UPDATE market.bar_revision SET recorded_at = '2026-06-01Z' WHERE symbol = 'MSFT'")
    (telling,) = explain("MSFT", "2026-05-15T09:30").tellings
    assert (telling.batch, telling.replayed_by) == (None, "root")


@pytest.mark.parametrize(
    ("symbol", "said"), [("ibm", "'ibm' is no symbol"), ("ORCL", "nothing is stored of ORCL; there are IBM, MSFT")]
)
def test_a_symbol_that_is_none_is_refused(explain: Explain, symbol: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"symbol|stored") as refused:
        explain(symbol, "2026-05-15T09:30")
    assert said in str(refused.value)


def test_tellings_of_before_the_answers_say_what_they_know(explain: Explain, database: Database) -> None:
    database.query("UPDATE market.bar_revision SET partition = NULL, record_offset = NULL WHERE symbol = 'MSFT'")
    database.query("DELETE FROM market.answer WHERE symbol = 'MSFT'")
    text = printed(explain("MSFT", "2026-05-15T09:30"))
    assert "answer    not stored" in text
    assert f"recorded  {datetime.now(UTC):%Y}" in text
