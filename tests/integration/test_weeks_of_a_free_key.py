"""Weeks of market time from the vendor's answers to the account of every session: the producer, the sink, the auditor.

The producer and the vendor's stand-in live in virtual time, the database is real.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg2.extensions
import pytest

from integration.audited import Audited, audited
from integration.services.database import Database
from integration.services.records import task
from market_pulse.auditor import database as auditor
from market_pulse.auditor.series import changes, wanted
from market_pulse.auditor.settings import AuditorSettings
from market_pulse.settings import Plan
from market_pulse_stream.decode import Record
from market_pulse_stream.sink import Task, store
from support.virtual_market import VirtualMarket

NEW_YORK = ZoneInfo("America/New_York")
TWENTY = tuple(f"S{number:02}" for number in range(20))
CALLS_A_DAY = 25
# Between the change of the clocks on 1 November, Thanksgiving on 26 November and the half day after it.
START, END = datetime(2026, 10, 29, 9, tzinfo=NEW_YORK), datetime(2026, 11, 28, tzinfo=NEW_YORK)
STEP = timedelta(hours=3)


@dataclass
class Pipeline:
    """Everything behind the vendor; `told_so_far` counts the records of the topic that are stored."""

    market: VirtualMarket
    writer: psycopg2.extensions.connection
    audit: Audited
    task: Task
    told_so_far: int = 0
    alarms: list[tuple[datetime, str]] = field(default_factory=list)

    def run_until(self, end: datetime) -> None:
        """Let the market go on, store what it told, and audit."""
        self.market.run_until(end)
        values = self.market.told[self.told_so_far :]
        records = [
            Record(self.told_so_far + place, message.symbol.encode(), message.value)
            for place, message in enumerate(values)
        ]
        self.told_so_far += len(records)
        store(self.writer, replace(self.task, batch_id=self.told_so_far), records)
        found = self.audit.findings(end, deep=False)
        self.alarms += [(end, sentence) for sentence in found.values()]


@pytest.fixture
def pipeline(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    environment = {
        **database.environment("auditor"),
        "MP_POSTGRESQL_AUDITOR_PASSWORD": "unused",
        "MP_EXCHANGE": "XNYS",
        "MP_SYMBOLS": ",".join(TWENTY),
        "MP_INTERVAL": "daily",
        "MP_SOURCE": "simulator",
        "MP_VENDOR_PLAN": "free",
        "MP_VENDOR_CALLS_PER_MINUTE": "1",
        "MP_EXTENDED_HOURS": "true",
        "MP_SETTLE_SECONDS": "5",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    start = START.astimezone(UTC)
    market = VirtualMarket(tmp_path, start, TWENTY, Plan.FREE)
    with contextlib.closing(database.connect("writer")) as writer, audited(database, "daily") as audit:
        audit.calendar(start)
        with audit.session, audit.session.cursor() as cursor:
            auditor.change_series(cursor, changes({}, wanted(AuditorSettings.load())), start)
        yield Pipeline(market, writer, audit, task(database, topic_id=None))


@pytest.mark.slow
def test_each_day_is_complete_after_its_close_within_the_budget_and_without_a_false_alarm(pipeline: Pipeline) -> None:
    sessions = [session.date for session in pipeline.market.sessions.days if START.date() <= session.date < END.date()]
    assert len(sessions) == 21
    assert {date(2026, 11, 27)} <= set(sessions)
    assert date(2026, 11, 26) not in sessions
    day = START
    while day < END:
        midnight = datetime.combine(day.date() + timedelta(days=1), datetime.min.time(), NEW_YORK).astimezone(UTC)
        now = day.astimezone(UTC)
        while now < midnight:
            now = min(now + STEP, midnight)
            pipeline.run_until(now)
        if day.date() in sessions:
            accounts = {symbol: pipeline.audit.account(symbol, day.date()) for symbol in TWENTY}
            assert accounts == {symbol: {"expected": 1, "stored": 1} for symbol in TWENTY}, day.date()
        day = midnight.astimezone(NEW_YORK)
    assert pipeline.alarms == []
    by_day = Counter(call.at.astimezone(NEW_YORK).date() for call in pipeline.market.calls)
    assert max(by_day.values()) <= CALLS_A_DAY
    assert [call for call in pipeline.market.calls if "per day" in call.reply.body] == []
