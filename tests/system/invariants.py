"""What must hold after everything that the system tests do to a host."""

import csv
import json
from datetime import datetime, timedelta
from decimal import Decimal

from support.waiting import eventually
from system.deployment import SYMBOLS
from system.host import Host

# Runs on the host, with the host's own key: the test process never sees it.
_ASK_SIMULATOR = """
import json, pathlib, sys, urllib.parse, urllib.request
key = pathlib.Path("/etc/market-pulse/credentials/mp_vendor_api_key").read_text().strip()
for symbol in sys.argv[2:]:
    query = dict(function="TIME_SERIES_INTRADAY", interval="1min", outputsize="full", datatype="csv")
    query |= dict(symbol=symbol, apikey=key)
    with urllib.request.urlopen(sys.argv[1] + "?" + urllib.parse.urlencode(query), timeout=30) as answer:
        print(json.dumps([symbol, answer.read().decode()]))
"""
_STORED = """
select symbol, to_char(bar_time at time zone 'America/New_York', 'YYYY-MM-DD HH24:MI:SS'),
  open, high, low, close, volume
from market.bar where interval = '1min' and is_final order by symbol, bar_time
"""

_MINUTE_FORM = "%Y-%m-%d %H:%M:%S"
# What a bar needs at most, in market time, to end, to be fetched and to be stored as final.
_UNDER_WAY = timedelta(minutes=3)

Bars = dict[tuple[str, str], tuple[Decimal, ...]]


def stored_bars(host: Host) -> Bars:
    """Return the final one-minute bars in the database: (symbol, exchange time) to prices and volume."""
    return {(row[0], row[1]): tuple(map(Decimal, row[2:])) for row in host.sql(_STORED)}


def served_bars(host: Host, symbols: list[str], url: str = "http://127.0.0.1:8090/query") -> Bars:
    """Return what the simulator tells today about every minute so far, the one still forming included."""
    arguments = " ".join([url, *symbols])
    printed = host.run(f"/opt/market-pulse/venv/bin/python - {arguments}", stdin=_ASK_SIMULATOR)
    bars: Bars = {}
    for line in printed.splitlines():
        symbol, text = json.loads(line)
        for row in list(csv.reader(text.splitlines()))[1:]:
            bars[symbol, row[0]] = tuple(map(Decimal, row[1:]))
    return bars


def assert_nothing_lost_or_doubled(host: Host) -> None:
    """Compare the database with what the simulator serves of every symbol, and the ledger with the topic.

    The comparison ends shortly before the simulator's newest minute, and is repeated until what is under way is stored.
    """
    served = served_bars(host, SYMBOLS)
    newest = max(minute for _, minute in served)
    horizon = format(datetime.strptime(newest, _MINUTE_FORM) - _UNDER_WAY, _MINUTE_FORM)  # noqa: DTZ007 - exchange time on both sides
    complete = {key: bar for key, bar in served.items() if key[1] <= horizon}
    eventually(lambda: _all_is_stored(host, complete, newest[:10]), within=60, what=f"all up to {horizon} is stored")
    assert_ledger_adds_up(host)


def _all_is_stored(host: Host, complete: Bars, today: str) -> bool:
    """Require all bars since the day's first stored minute of any symbol, and since each symbol's own first one."""
    stored = {key: bar for key, bar in stored_bars(host).items() if key[0] in SYMBOLS}
    first_today = min((minute for _, minute in stored if minute >= today), default=None)
    assert first_today, f"no final bar of {today} is stored"
    for symbol in SYMBOLS:
        first = min([first_today, *(minute for owner, minute in stored if owner == symbol)])
        due = {key: bar for key, bar in complete.items() if key[0] == symbol and key[1] >= first}
        lost = sorted(due.keys() - stored.keys())
        assert not lost, f"{len(lost)} bars of {symbol} were served and are not stored as final: {lost[:5]}"
        wrong = [key for key, bar in due.items() if stored[key] != bar]
        assert not wrong, f"bars stored with other values than served: {[(k, stored[k], due[k]) for k in wrong[:3]]}"
    return True


def assert_ledger_adds_up(host: Host) -> None:
    """Every record received is accounted for, and the ledger covers each partition without gap or overlap."""
    assert (
        host.number("select count(*) from market.batch where received <> stored + unchanged + superseded + quarantined")
        == 0
    ), "a batch does not add up"
    holes = host.sql(
        "select topic_id, partition, from_offset, expected from (select *, lag(until_offset) over "
        "(partition by topic_id, partition, log_epoch order by from_offset) as expected from market.batch) as b "
        "where expected is not null and from_offset <> expected"
    )
    assert holes == [], f"the ledger has a hole or an overlap: {holes}"
    ahead = host.sql(
        "select p.topic_id, p.partition, p.next_offset, max(b.until_offset) from market.stream_position as p "
        "join market.batch as b using (topic_id, partition, log_epoch) "
        "group by 1, 2, 3 having p.next_offset <> max(b.until_offset)"
    )
    assert ahead == [], f"a stored position is not where the ledger ends: {ahead}"


def await_progress(host: Host, *, within: float) -> None:
    """Wait until a newer bar of every symbol is stored."""
    before = _newest_bars(host)

    def all_went_on() -> bool:
        now = _newest_bars(host)
        standing = [symbol for symbol in SYMBOLS if now.get(symbol, "") <= before.get(symbol, "")]
        assert not standing, f"no newer bar of {', '.join(standing)}"
        return True

    eventually(all_went_on, within=within, what="a newer bar of every symbol is stored", every=1)


def _newest_bars(host: Host) -> dict[str, str]:
    form = "YYYY-MM-DD HH24:MI:SS"
    query = f"select symbol, to_char(max(bar_time), '{form}') from market.bar where interval = '1min' group by symbol"
    return {row[0]: row[1] for row in host.sql(query)}
