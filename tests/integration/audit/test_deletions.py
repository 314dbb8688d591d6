"""A stored bar that is gone is named, whoever removed it and however."""

from datetime import timedelta

import psycopg2.errors
import pytest

from integration.audited import CLOSE, COLUMNS, DAY, EVENING, MINUTE, MONDAY, OPEN, Audited, minutes, without


@pytest.mark.parametrize(
    "statement", ["DELETE FROM market.bar WHERE bar_time = %s", "TRUNCATE market.bar", "TRUNCATE market.bar_default"]
)
def test_a_bar_deleted_by_hand_is_named_until_it_is_back(market: Audited, statement: str) -> None:
    lost = OPEN + 61 * MINUTE
    market.store("IBM", without())
    assert market.findings(EVENING) == {}
    market.database.query(statement, *([lost] if "%s" in statement else []))
    (text,) = market.findings(EVENING, deep=False).values()
    bars = 1 if "DELETE" in statement else 390
    assert text == (
        "IBM 2026-01-05 15:31 was deleted by postgres"
        if bars == 1
        else "390 bars of IBM 2026-01-05 14:30 to 2026-01-05 20:59 were deleted by postgres"
    )
    assert market.account("IBM", MONDAY) == {"expected": 390, "missing": bars} | ({"stored": 389} if bars == 1 else {})
    market.database.query(f"INSERT INTO market.bar SELECT {COLUMNS} FROM market.bar_revision ON CONFLICT DO NOTHING")
    assert market.findings(EVENING, deep=False) == {}
    assert market.account("IBM", MONDAY) == {"expected": 390, "stored": 390}


def test_a_bar_deleted_with_its_history_is_named(market: Audited) -> None:
    market.store("IBM", without())
    market.audit(EVENING)
    for table in ("bar", "bar_revision"):
        market.database.query(f"DELETE FROM market.{table} WHERE bar_time = %s", OPEN)
    texts = list(market.findings(EVENING, deep=False).values())
    assert texts == [
        "IBM 2026-01-05 14:30 was deleted by postgres",
        "what was told of IBM 2026-01-05 14:30 was deleted by postgres",
    ]
    assert market.account("IBM", MONDAY)["missing"] == 1


def test_bars_that_went_past_every_trigger_are_named_by_their_request(market: Audited) -> None:
    market.store("IBM", without(), request="r77")
    market.answer("IBM", CLOSE, DAY, told=390, request="r77")
    assert market.findings(EVENING) == {}
    market.database.query(
        "SET session_replication_role = replica;"
        "DELETE FROM market.bar WHERE bar_time = %s; DELETE FROM market.bar_revision WHERE bar_time = %s",
        OPEN,
        OPEN,
    )
    bar, request = market.findings(EVENING).values()
    assert bar == "IBM 2026-01-05 14:30 was stored and is gone"
    assert request == "request r77 of IBM 2026-01-05 21:00 told 390 bars, and 389 are kept"
    again = market.findings(EVENING, deep=False)
    assert list(again.values()) == [bar, request], "it stays until it is mended"
    assert market.account("IBM", MONDAY) == {"expected": 390, "stored": 389, "missing": 1}


def test_every_bar_that_was_deleted_is_named_and_a_bar_between_them_that_left_no_trace(market: Audited) -> None:
    market.store("IBM", without())
    for place in (61, 120, 90):
        market.database.query("DELETE FROM market.bar WHERE bar_time = %s", OPEN + place * MINUTE)
        market.audit(EVENING, deep=False)
    market.database.query(
        "SET session_replication_role = replica; DELETE FROM market.bar WHERE bar_time = %s", OPEN + 100 * MINUTE
    )
    assert list(market.findings(EVENING, deep=False).values()) == [
        "IBM 2026-01-05 15:31 was deleted by postgres",
        "IBM 2026-01-05 16:00 was deleted by postgres",
        "IBM 2026-01-05 16:30 was deleted by postgres",
        "IBM 2026-01-05 16:10 was stored and is gone",
    ]
    market.database.query("DELETE FROM market.bar WHERE bar_time = %s", OPEN + 62 * MINUTE)
    first, *_ = market.findings(EVENING, deep=False).items()
    assert first == (
        ("missing", "IBM 1min postgres 1"),
        "2 bars of IBM 2026-01-05 15:31 to 2026-01-05 15:32 were deleted by postgres",
    )


@pytest.mark.parametrize(
    "loss",
    [
        "DROP TABLE market.bar_2026_01",
        "ALTER TABLE market.bar DETACH PARTITION market.bar_2026_01",
        "SET session_replication_role = replica; DELETE FROM market.bar WHERE bar_time < '2026-01-06Z'",
        "SET session_replication_role = replica; DELETE FROM market.bar; DELETE FROM market.bar_revision",
        "UPDATE market.bar SET is_final = false WHERE bar_time < '2026-01-06Z'",
    ],
)
@pytest.mark.parametrize(("days", "audits"), [(2, 1), (9, 110)])
def test_what_no_trigger_sees_is_named_at_once_in_the_newest_sessions_and_in_a_day_in_all(
    market: Audited, loss: str, days: int, audits: int
) -> None:
    market.database.query("SELECT market.ensure_partitions('2026-01-01Z', '2026-01-02Z')")
    for day in range(12):
        market.store("IBM", minutes(OPEN + day * timedelta(days=1), 390))
    now = EVENING + days * timedelta(days=1)
    for _ in range(3):
        assert market.findings(now) == {}
    market.database.query(loss)
    texts: list[str] = []
    while "IBM 2026-01-05 14:30 and 389 more after it was stored and is gone" not in texts:
        assert audits, texts
        audits -= 1
        texts = list(market.findings(now, deep=days > 2).values())
    assert market.account("IBM", MONDAY) == {"expected": 390, "missing": 390}


def test_a_month_that_left_for_files_is_no_loss(market: Audited) -> None:
    january = [*without(), *minutes(OPEN + timedelta(days=25), 390)]
    market.store("IBM", january, request="r77")
    february = OPEN + timedelta(days=28)
    market.store("IBM", minutes(february, 390), request="r78")
    market.database.query("DELETE FROM market.bar WHERE bar_time = %s", OPEN)
    market.answer("IBM", february, (OPEN, february), told=780, request="r77")
    market.answer("IBM", february + MINUTE, (february, february + 390 * MINUTE), told=391, request="r78")
    now = february + timedelta(hours=9)
    found = [name.kind for name in market.findings(now)]
    assert [kind for kind in found if kind in {"missing", "shortfall"}] == ["missing", "shortfall"]
    before = market.account("IBM", MONDAY)
    market.left("2026-01-01")
    market.answer("IBM", now, DAY)
    found = [name.subject for name in market.findings(now) if name.kind in {"missing", "shortfall"}]
    assert found == ["IBM 1min r78"], "what it told is of no month that left"
    assert market.account("IBM", MONDAY) == before


def test_a_finding_that_is_acknowledged_is_no_alarm_until_more_is_lost(market: Audited) -> None:
    market.store("IBM", without())
    market.database.query("DELETE FROM market.bar WHERE bar_time = %s", OPEN)
    (text,) = market.alarms(EVENING)
    ((number,),) = market.database.query("SELECT finding_id FROM market.finding")
    market.database.query("SELECT market.acknowledge_finding(%s, 'a test of ours')", number)
    assert market.alarms(EVENING) == []
    kept = "SELECT sentence, acknowledged_by, note FROM market.finding WHERE resolved_at IS NULL"
    assert market.database.query(kept) == [(text, "postgres", "a test of ours")]
    market.database.query("DELETE FROM market.bar WHERE bar_time = %s", OPEN + MINUTE)
    assert [alarm.split()[0] for alarm in market.alarms(EVENING)] == ["2"]
    assert market.database.query(kept)[0][1:] == (None, None)
    with pytest.raises(psycopg2.errors.RaiseException, match="no open finding has the number 77"):
        market.database.query("SELECT market.acknowledge_finding(77, 'why')")
    with pytest.raises(psycopg2.errors.CheckViolation, match="acknowledged_with_a_reason"):
        market.database.query("SELECT market.acknowledge_finding(%s, '')", number)


def test_what_quarantine_holds_of_an_answer_is_not_short(market: Audited) -> None:
    market.store("IBM", without(5), request="r77")
    market.answer("IBM", CLOSE, DAY, told=390, request="r77")
    market.database.query(
        "INSERT INTO market.quarantine (topic_id, partition, record_offset, topic, reason, detail, key, value)"
        " VALUES (gen_random_uuid(), 0, 0, 't', 'bad_price', '', 'IBM', %s)",
        b'{"interval":"1min","bar_time":"2026-01-05T14:35:00Z","request_id":"r77"}',
    )
    assert market.findings(EVENING) == {}


def test_moving_rows_into_a_new_partition_is_no_deletion(market: Audited) -> None:
    market.store("IBM", without())
    market.database.query("SELECT market.ensure_partitions('2026-01-01Z', '2026-01-02Z')")
    assert market.database.query("SELECT count(*) FROM market.bar_2026_01") == [(390,)]
    assert market.findings(EVENING) == {}
    market.database.query("TRUNCATE market.bar_2026_01")
    assert market.database.query("SELECT count(*), count(DISTINCT deleted_by) FROM market.deletion") == [(390, 1)]


def test_a_short_answer_may_reach_far_back(market: Audited) -> None:
    market.store("IBM", [*minutes(OPEN - 60 * 1440 * MINUTE, 3), *without()], request="r77")
    market.answer("IBM", CLOSE, DAY, told=393, request="r77")
    assert market.findings(EVENING) == {}
