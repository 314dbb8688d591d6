"""The account of a session: every expected bar is stored or has one reason."""

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integration.audited import BEFORE, CLOSE, DAY, EVENING, MINUTE, MONDAY, OPEN, Audited, at, minutes, without
from integration.services.database import Database


def test_a_session_of_which_every_bar_is_stored_is_complete(market: Audited) -> None:
    market.store("IBM", without())
    assert market.findings(EVENING) == {}
    assert market.account("IBM", MONDAY) == {"expected": 390, "stored": 390}


def test_bars_outside_the_regular_session_are_stored_and_not_expected(market: Audited) -> None:
    market.store("IBM", minutes(OPEN - 10 * MINUTE, 390 + 20))
    market.audit(EVENING)
    assert market.account("IBM", MONDAY) == {"expected": 390, "stored": 390}


def test_no_trade_halt_missing_afternoon_and_outage_are_told_apart(market: Audited) -> None:
    for symbol in ("QUIET", "HALTED", "STOPPED", "NOTHING", "ENTERED", "THIN"):
        market.series(symbol, BEFORE)
    stored = {
        "IBM": without(*range(100, 140)),
        "QUIET": without(3, 40, 41, 200),
        "HALTED": without(*range(50, 57), 300),
        "STOPPED": without(*range(200, 390)),
        "NOTHING": [],
        "ENTERED": without(*range(50, 57), 300),
        "THIN": without(*[place for place in range(390) if place % 20 > 9]),
    }
    for symbol, bars in stored.items():
        if bars:
            market.store(symbol, bars)
        if symbol != "IBM":
            market.answer(symbol, EVENING - MINUTE, DAY)
    market.database.query(
        "INSERT INTO market.halt VALUES ('ENTERED', %s, %s, 'T1')", OPEN + 50 * MINUTE, OPEN + 57 * MINUTE
    )
    market.audit(EVENING)
    assert {symbol: market.account(symbol, MONDAY) for symbol in stored} == {
        "IBM": {"expected": 390, "stored": 350, "outage": 40},
        "QUIET": {"expected": 390, "stored": 386, "no_trade": 4},
        "HALTED": {"expected": 390, "stored": 382, "halt_inferred": 7, "no_trade": 1},
        "STOPPED": {"expected": 390, "stored": 200, "vendor_missing": 190},
        "NOTHING": {"expected": 390, "vendor_missing": 390},
        "ENTERED": {"expected": 390, "stored": 382, "halt": 7, "no_trade": 1},
        "THIN": {"expected": 390, "stored": 200, "no_trade": 190},
    }
    assert market.runs("HALTED") == [("15:20", 7, "halt_inferred"), ("19:30", 1, "no_trade")]


def test_a_used_up_quota_is_told_from_an_outage_until_the_vendor_answers_again(market: Audited) -> None:
    market.store("IBM", without(*range(300, 390)))
    market.answer("IBM", OPEN + 350 * MINUTE, refusal="quota")
    assert market.account("IBM", MONDAY) == {}
    market.audit(EVENING)
    # The refusal says nothing of bars that had not begun.
    assert market.account("IBM", MONDAY) == {"expected": 390, "stored": 300, "quota": 51, "outage": 39}
    market.answer("IBM", CLOSE + MINUTE, refusal="quota")
    market.audit(EVENING)
    assert market.account("IBM", MONDAY)["quota"] == 90
    market.answer("IBM", CLOSE + 2 * MINUTE, refusal="vendor_error")
    assert [name.kind for name in market.findings(EVENING)] == ["outage"]
    assert market.account("IBM", MONDAY)["outage"] == 90


def test_a_bar_is_pending_until_its_answer_had_its_time(market: Audited) -> None:
    market.store("IBM", minutes(OPEN, 10))
    market.answer("IBM", OPEN + 10 * MINUTE, (OPEN, OPEN + 10 * MINUTE))
    # The bar of 14:40 ends at 14:41, is ready 10 seconds later, and has 30 seconds of grace.
    market.audit(at("2026-01-05 14:41:39"))
    assert market.account("IBM", MONDAY) == {"expected": 390, "stored": 10, "pending": 380}
    market.audit(at("2026-01-05 14:41:40"))
    assert market.account("IBM", MONDAY) == {"expected": 390, "stored": 10, "outage": 1, "pending": 379}


def test_a_forming_bar_that_was_never_told_again_is_not_stored(market: Audited) -> None:
    market.store("IBM", without(389))
    market.store("IBM", minutes(CLOSE - MINUTE, 1), final=False, request="r1")
    market.audit(EVENING)
    assert market.account("IBM", MONDAY) == {"expected": 390, "stored": 389, "outage": 1}


def test_quarantined_bars_are_explained_by_it(market: Audited) -> None:
    market.store("IBM", without(7, 8))
    market.answer("IBM", EVENING, DAY)
    value = b'{"v":1,"symbol":"IBM","interval":"1min","bar_time":"2026-01-05T14:37:00Z","request_id":"r9"}'
    for offset, raw in enumerate(
        (value, b"\xff", b'{"bar_time": 7}', b'{"bar_time": "yesterday?"}', b'"\\u0000"', None)
    ):
        market.database.query(
            "INSERT INTO market.quarantine (topic_id, partition, record_offset, topic, reason, detail, key, value)"
            " VALUES (gen_random_uuid(), 0, %s, 't', 'bad_price', '', 'IBM', %s)",
            offset,
            raw,
        )
    market.audit(EVENING)
    assert market.account("IBM", MONDAY) == {"expected": 390, "stored": 388, "quarantined": 1, "no_trade": 1}


def test_an_audit_wants_one_snapshot(database: Database) -> None:
    with pytest.raises(psycopg2.errors.RaiseException, match="REPEATABLE READ"):
        database.query("SELECT market.audit(now(), '30 s')")


patterns = st.lists(st.sampled_from("SNQ-HF"), min_size=30, max_size=30)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pattern=patterns, elapsed=st.integers(0, 400), quota=st.booleans(), deleted=st.sets(st.integers(0, 29), max_size=4)
)
def test_the_equation_holds_whatever_is_stored_covered_and_refused(
    market: Audited,
    pattern: list[str],
    elapsed: int,
    quota: bool,  # noqa: FBT001
    deleted: set[int],
) -> None:
    market.database.query(
        "SET session_replication_role = replica;"
        "DELETE FROM market.bar; DELETE FROM market.bar_revision; DELETE FROM market.answer; DELETE FROM market.halt;"
        "DELETE FROM market.completeness; DELETE FROM market.absence; DELETE FROM market.deletion"
    )
    whole = [pattern[place % 30] for place in range(390)]
    for code, final in (("S", True), ("F", False)):
        told = [OPEN + place * MINUTE for place, letter in enumerate(whole) if letter == code]
        if told:
            market.store("IBM", told, final=final, request=code)
    market.answers("IBM", [OPEN + place * MINUTE for place, letter in enumerate(whole) if letter in "NH"], MINUTE)
    if "H" in pattern:
        market.database.query("INSERT INTO market.halt VALUES ('IBM', %s, NULL, '')", OPEN + 90 * MINUTE)
    if quota:
        market.answer("IBM", OPEN + 300 * MINUTE, refusal="quota")
    gone = [OPEN + place * MINUTE for place in deleted]
    market.database.query("DELETE FROM market.bar WHERE bar_time = ANY (%s::timestamptz[])", gone)
    now = OPEN + elapsed * MINUTE
    market.audit(now)
    account = market.account("IBM", MONDAY)
    assert account["expected"] == 390
    final = {place for place, letter in enumerate(whole) if letter == "S" and place <= elapsed} - deleted
    assert account.get("stored", 0) == len(final)
    assert account.get("missing", 0) == len({place for place in deleted if whole[place] == "S" and place <= elapsed})
