"""An operator proves what is stored: nothing is missing, each number has its origin, and what is taken is named."""

import json
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from support.waiting import eventually
from system.host import Host
from system.invariants import await_progress

_NEW_YORK = ZoneInfo("America/New_York")
_AUDITOR = "market-pulse-auditor"
# The first one that was polled: the newest answers do not reach back to it.
_OLD_BAR = """
select to_char(bar_time, 'YYYY-MM-DD"T"HH24:MI"Z"') from market.bar
where symbol = 'IBM' and interval = '1min' and is_final and bar_time >= '2026-01-05 14:30Z' order by bar_time limit 1
"""
_PUT_BACK = """
insert into market.bar select symbol, interval, bar_time, open, high, low, close, volume, is_final, source, request_id,
  fetched_at from market.bar_revision where symbol = 'IBM' and interval = '1min' and bar_time = '{}'
  order by fetched_at desc, request_id desc limit 1
"""


def test_the_whole_and_a_day_are_proved(host: Host) -> None:
    await_progress(host, within=60)
    for day in ("", _day_of(_old_bar(host)).isoformat()):
        checks = assert_proved(host, day)
        assert checks["bars"]["examined"] > 0
        assert checks["told"]["examined"] > 0
        assert checks["archive"]["verdict"] == "ok"
        assert checks["archive"]["examined"] > 0


def test_a_bar_is_traced_to_the_answer_that_told_it(host: Host) -> None:
    instant = _old_bar(host)
    lineage = json.loads(host.run(f"market-pulse explain IBM {instant} --json"))
    last = lineage["tellings"][-1]
    assert last["request_id"] == lineage["told_by"]
    assert last["batch"]["from_offset"] <= last["record_offset"] < last["batch"]["until_offset"]
    assert len(last["answer"]["sha256"]) == 64
    archived = last["archive"]["row"]
    assert {name: Decimal(text) for name, text in archived.items()} == {
        name: Decimal(str(lineage["bar"][name])) for name in archived
    }
    printed = host.run(f"market-pulse explain IBM {instant}")
    for part in (
        last["request_id"],
        last["answer"]["sha256"],
        last["batch"]["run_id"],
        f"offset {last['record_offset']}",
    ):
        assert part in printed
    local = datetime.fromisoformat(instant).astimezone(_NEW_YORK)
    assert json.loads(host.run(f"market-pulse explain IBM {local:%Y-%m-%dT%H:%M} --json"))["bar"] == lineage["bar"]


def test_a_bar_that_is_deleted_by_hand_is_named_within_a_minute(host: Host) -> None:
    instant = _old_bar(host)
    cursor = host.journal_cursor()
    host.sql(f"delete from market.bar where symbol = 'IBM' and interval = '1min' and bar_time = '{instant}'")
    try:
        minute = instant[11:16]
        journal = f"journalctl -u {_AUDITOR} -o cat --after-cursor='{cursor}'"
        eventually(lambda: _names(host.run(journal), minute), within=60, what="the auditor's journal names the bar")
        eventually(lambda: _names(_findings(host), minute), within=60, what="status names the bar")
        checks = verify(host, "")
        broken = {name: check["examples"] for name, check in checks.items() if check["verdict"] != "ok"}
        assert broken.keys() == {"bars"}
        assert [_names(example, minute) for example in broken["bars"]] == [True]
        explained = json.loads(host.run(f"market-pulse explain IBM {instant} --json"))
        assert explained["bar"] is None
        assert explained["tellings"]
    finally:
        host.sql(_PUT_BACK.format(instant))
    assert_proved(host, "")
    eventually(lambda: not _names(_findings(host), minute), within=60, what="status forgets the bar")


def test_a_month_of_the_past_is_filled(host: Host) -> None:
    host.run("market-pulse backfill IBM --from 2025-12-01 --to 2025-12-31", timeout=600)
    days = (
        "select count(distinct (bar_time at time zone 'America/New_York')::date) from market.bar where symbol = 'IBM'"
        " and interval = '1min' and is_final and bar_time >= '2025-12-01 05:00Z' and bar_time < '2026-01-01 05:00Z'"
    )
    # Christmas is the only weekday of that December without a session.
    eventually(lambda: host.number(days) == 22, within=120, what="bars of all 22 sessions of December 2025")
    assert assert_proved(host, "2025-12-24")["bars"]["examined"] > 0
    origin = json.loads(host.run("market-pulse explain IBM 2025-12-24T10:31 --json"))["tellings"][0]
    assert (origin["answer"]["cause"], origin["answer"]["month"]) == ("backfill", "2025-12")
    calls = host.number("select count(*) from market.answer where cause = 'backfill'")
    host.run("market-pulse backfill IBM --from 2025-12-01 --to 2025-12-31", timeout=600)
    assert host.number("select count(*) from market.answer where cause = 'backfill'") == calls, "it was paid for twice"


def verify(host: Host, day: str) -> dict[str, dict[str, object]]:
    """Return every check of `market-pulse verify`, by name, whatever its exit code."""
    report = json.loads(host.run(f"market-pulse verify {day} --json", check=False, timeout=300))
    return {check["check"]: check for check in report["checks"]}


def assert_proved(host: Host, day: str) -> dict[str, dict[str, object]]:
    """Require that every check holds, and return them."""
    host.run(f"market-pulse verify {day}", timeout=300)
    checks = verify(host, day)
    assert {check["verdict"] for check in checks.values()} == {"ok"}
    return checks


def _old_bar(host: Host) -> str:
    return host.sql(_OLD_BAR)[0][0]


def _findings(host: Host) -> str:
    findings = host.status()["findings"]
    assert isinstance(findings, list)
    return "\n".join(map(json.dumps, findings))


def _day_of(instant: str) -> date:
    return datetime.fromisoformat(instant).astimezone(_NEW_YORK).date()


def _names(text: str, minute: str) -> bool:
    return any("IBM" in line and minute in line for line in text.splitlines())
