"""An account that is put right by what is learned later: answers, halts, and what was lost on its way."""

from datetime import timedelta

from integration.audited import DAY, EVENING, MINUTE, MONDAY, OPEN, Audited, at, minutes, without

_LOSS = """
INSERT INTO market.lost_range (
    topic_id, partition, log_epoch, topic, from_offset, until_offset, reason, stored_until
)
VALUES (gen_random_uuid(), 0, 0, 't', 2, 60, 'lost', now())
"""


def test_a_late_answer_closes_an_old_outage(market: Audited) -> None:
    friday = at("2026-01-09 23:00")
    market.audit(friday)
    assert market.account("IBM", MONDAY) == {"expected": 390, "outage": 390}
    market.store("IBM", without(8), asked=friday)
    market.answer("IBM", friday, DAY, cause="repair")
    market.audit(friday + MINUTE, deep=False)
    assert market.account("IBM", MONDAY) == {"expected": 390, "stored": 389, "no_trade": 1}


def test_bars_that_were_lost_on_their_way_are_not_called_untraded_before_they_are_told_again(market: Audited) -> None:
    # A poll told minutes 2 to 49 in vain, but for 7, 8 and 9; the next one tells only what is new.
    market.store("IBM", minutes(OPEN, 2), request="r1")
    market.answer("IBM", OPEN + 2 * MINUTE, (OPEN, OPEN + 2 * MINUTE), rows=2, told=2, request="r1")
    market.database.query(_LOSS)
    market.store("IBM", minutes(OPEN + 50 * MINUTE, 2), request="r2")
    market.store("IBM", minutes(OPEN + 53 * MINUTE, 7), request="r3")
    now = OPEN + 60 * MINUTE
    market.answer("IBM", OPEN + 52 * MINUTE, (OPEN, OPEN + 52 * MINUTE), rows=49, told=2, request="r2")
    market.answer("IBM", now, (OPEN, now), rows=56, told=7, request="r3")
    assert [name.kind for name in market.findings(now + MINUTE)] == ["outage"]
    assert market.account("IBM", MONDAY) == {
        "expected": 390, "stored": 11, "outage": 48, "no_trade": 1, "pending": 330
    }  # fmt: skip
    again = [OPEN + place * MINUTE for place in range(2, 50) if place not in (7, 8, 9)]
    market.store("IBM", again, asked=now, request="r4")
    market.answer(
        "IBM", now + MINUTE, (OPEN + 2 * MINUTE, OPEN + 50 * MINUTE), rows=45, told=45, cause="backfill", request="r4"
    )
    market.audit(now + MINUTE)
    assert market.account("IBM", MONDAY) == {"expected": 390, "stored": 56, "no_trade": 4, "pending": 330}


def test_a_loss_on_another_partition_says_nothing(market: Audited) -> None:
    market.store("IBM", minutes(OPEN, 2))
    market.database.query("UPDATE market.bar_revision SET partition = 3, record_offset = 1")
    market.database.query(_LOSS)
    market.answer("IBM", OPEN + 52 * MINUTE, (OPEN, OPEN + 52 * MINUTE), rows=49, told=2)
    market.audit(OPEN + 52 * MINUTE)
    assert "outage" not in market.account("IBM", MONDAY)
    market.database.query("UPDATE market.lost_range SET partition = 3")
    market.audit(OPEN + 52 * MINUTE)
    assert market.account("IBM", MONDAY)["outage"] == 49


def test_a_halt_that_is_corrected_or_taken_back_is_looked_at_again(market: Audited) -> None:
    market.store("IBM", without(3, 4, 100, 200))
    market.answer("IBM", EVENING - MINUTE, DAY)
    market.database.query("INSERT INTO market.halt VALUES ('IBM', %s, %s, 'T1')", OPEN, OPEN + 4 * MINUTE)
    week_later = EVENING + timedelta(days=9)
    market.audit(EVENING)
    assert market.account("IBM", MONDAY)["halt"] == 1
    market.database.query(
        "SET session_replication_role = replica;"
        "UPDATE market.halt SET entered_at = '2026-01-05Z'; UPDATE market.answer SET recorded_at = '2026-01-05Z'"
    )
    market.audit(week_later)
    market.database.query("UPDATE market.halt SET until = %s", OPEN + 150 * MINUTE)
    market.audit(week_later, deep=False)
    assert market.account("IBM", MONDAY)["halt"] == 3
    market.database.query("DELETE FROM market.halt")
    market.audit(week_later)
    assert market.account("IBM", MONDAY) == {"expected": 390, "stored": 386, "no_trade": 4}
