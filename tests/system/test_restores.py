"""An operator's backups: made and proven in the units' sandbox, and restored by the commands of docs/backups.md."""

import json
import re
import shlex

from support.backups_page import documented
from support.waiting import eventually
from system.deployment import SYMBOLS, UNITS
from system.host import Host
from system.invariants import assert_nothing_lost_or_doubled, await_progress

_JOBS = ("market-pulse-backup", "market-pulse-restore-proof")
# The first one that was polled: the newest answers do not tell it again.
_OLD_BAR = "symbol = 'IBM' AND interval = '1min' AND is_final AND bar_time = '{}'"
_OLDEST = """
select to_char(min(bar_time), 'YYYY-MM-DD HH24:MI:SS+00') from market.bar
where symbol = 'IBM' and interval = '1min' and is_final and bar_time >= '2026-01-05 14:30Z'
"""

_NEWEST = "select symbol, max(bar_time) from market.bar where interval = '1min' group by symbol order by symbol"


def test_a_backup_is_made_and_proven_while_bars_come_in(host: Host) -> None:
    await_progress(host, within=60)
    segments = "ipcs -m | awk '/postgres/ {print $2}'"
    shared = host.run(segments)
    assert shared
    for job in _JOBS:
        host.run(f"systemctl start {job}", timeout=300)
        assert host.show(job, "Result", "User") == {"Result": "success", "User": "postgres"}
    assert host.run(segments) == shared, "the server keeps what it shares with its sessions"
    assert host.run("ls -A /var/lib/market-pulse/restore-proof") == ""
    report = host.status()
    backups = report["facts"]["backups"]  # type: ignore[index]
    assert backups["made"]
    assert backups["failed"] is None
    assert backups["proven"]["bars"] > 0
    assert re.search(r"restore proven \d+ min ago: \d+ bars, backup of ", host.run("market-pulse status", check=False))
    assert "market_pulse_restore_proven_bars " in host.run("market-pulse metrics")


def test_the_sandbox_keeps_the_proof_away_from_the_live_cluster(host: Host) -> None:
    # As the unit itself would try it.
    dropin = "/run/systemd/system/market-pulse-restore-proof.service.d/test.conf"
    tries = "! ls /var/lib/postgresql/*/main && ! touch /var/lib/pgbackrest/x"
    host.run(
        f"install -D -m 0644 /dev/stdin {dropin} && systemctl daemon-reload",
        stdin=f"[Service]\nExecStart=\nExecStart=/bin/sh -c '{tries}'\n",
    )
    try:
        host.run("systemctl start market-pulse-restore-proof")
    finally:
        host.run(f"rm {dropin} && systemctl daemon-reload")


def test_deleted_rows_are_taken_back_from_beside(host: Host) -> None:
    await_progress(host, within=60)
    rows = _OLD_BAR.format(host.sql(_OLDEST)[0][0])
    before, instant = host.sql(f"select * from market.bar where {rows}"), _now(host)
    host.sql(f"delete from market.bar where {rows}")
    _run(host, documented("beside", instant, rows))
    assert host.sql(f"select * from market.bar where {rows}") == before
    eventually(lambda: "was deleted" not in json.dumps(host.status()["findings"]), within=60, what="the auditor agrees")
    assert_nothing_lost_or_doubled(host)


def test_the_whole_is_taken_back_and_bars_told_since_come_again(host: Host) -> None:
    await_progress(host, within=60)
    rows = _OLD_BAR.format(host.sql(_OLDEST)[0][0])
    before, instant = host.sql(f"select * from market.bar where {rows}"), _now(host)
    host.sql(f"delete from market.bar where {rows}")
    await_progress(host, within=60)
    # Other tests have stored bars of other symbols.
    newest = [row for row in host.sql(_NEWEST) if row[0] in SYMBOLS]
    assert [symbol for symbol, _ in newest] == sorted(SYMBOLS)
    _run(host, documented("in place", instant))
    assert host.sql(f"select * from market.bar where {rows}") == before
    host.await_running(*UNITS, within=180)
    again = "select count(*) from market.bar where interval = '1min' and (symbol, bar_time) in ({})".format(
        ", ".join(f"('{symbol}', '{bar_time}')" for symbol, bar_time in newest)
    )
    eventually(lambda: host.number(again) == len(newest), within=120, what="the bars told since are stored again")
    for job in _JOBS:
        assert host.show(job, "Result") == {"Result": "success"}
    host.run("market-pulse verify", timeout=300)
    assert_nothing_lost_or_doubled(host)


def _run(host: Host, lines: list[str]) -> None:
    host.run(f"sh -euc {shlex.quote(chr(10).join(lines))}", timeout=600)


def _now(host: Host) -> str:
    """Return the server's time, of an instant after which something else is committed."""
    return host.sql("select to_char(clock_timestamp(), 'YYYY-MM-DD HH24:MI:SS.US+00')")[0][0]
