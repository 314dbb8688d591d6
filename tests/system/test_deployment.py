"""What an operator finds after the playbook has run."""

import json

from support.waiting import eventually
from system.deployment import INVENTORY, JOBS, SYMBOLS, UNITS, Deployment
from system.host import Host
from system.invariants import assert_nothing_lost_or_doubled


def test_every_unit_is_running_and_says_what_it_does(host: Host) -> None:
    host.await_running(*UNITS, within=60)
    for unit in UNITS:
        sentence = host.show(unit, "StatusText")["StatusText"]
        assert sentence, f"{unit} says nothing in systemctl status"
        assert sentence in host.run(f"systemctl status {unit}")


def test_what_the_inventory_says_goes_before_the_projects_defaults(host: Host) -> None:
    said = f'MP_CLOCK_SPEED="{INVENTORY["all"]["vars"]["market_pulse_clock_speed"]}"'
    assert said in host.run("cat /etc/market-pulse/producer.env").splitlines()


def test_bars_of_every_symbol_arrive_in_the_view_for_readers(host: Host) -> None:
    names = ", ".join(f"'{symbol}'" for symbol in SYMBOLS)
    count = f"select count(distinct symbol) from bi.events_stream where symbol in ({names})"
    eventually(lambda: host.number(count) == len(SYMBOLS), within=120, what=f"bars of {len(SYMBOLS)} symbols")
    assert_nothing_lost_or_doubled(host)


def test_a_second_run_changes_nothing_and_restarts_nothing(deployment: Deployment, host: Host) -> None:
    before = {unit: host.show(unit, "InvocationID", "NRestarts") for unit in UNITS}
    deployment.assert_idempotent()
    assert {unit: host.show(unit, "InvocationID", "NRestarts") for unit in UNITS} == before


def test_a_bar_goes_in_and_a_row_comes_out(deployment: Deployment) -> None:
    deployment.molecule("verify")


def test_status_tells_units_freshness_rows_lag_and_budget(host: Host) -> None:
    eventually(
        lambda: host.run("market-pulse status >/dev/null; echo $?") == "0", within=60, what="status says all is well"
    )
    report = json.loads(host.run("market-pulse status --json"))
    assert report["level"] == 0
    assert report["findings"] == []
    facts = report["facts"]
    assert {unit["name"] for unit in facts["units"]} == {*UNITS, *JOBS}
    assert {series["symbol"] for series in facts["series"]} == set(SYMBOLS)
    assert facts["bars"] > 0
    assert facts["ledger"]["received"] >= facts["bars"]
    assert len(facts["partitions"]) == int(
        host.sql("select count(distinct partition) from market.stream_position")[0][0]
    )
    printed = host.run("market-pulse status")
    for expected in (*SYMBOLS, "market-pulse-consumer", "lag:", "budget:", "bars stored:"):
        assert expected in printed


def test_status_sees_the_host(host: Host) -> None:
    facts = json.loads(host.run("market-pulse status --json", check=False))["facts"]["host"]
    paths = [certificate["path"] for certificate in facts["certificates"]]
    assert "/etc/market-pulse/ca.crt" in paths
    assert any(path.startswith("/etc/postgresql/") for path in paths)
    assert "/var/lib/market-pulse" in [system["path"] for system in facts["file_systems"]]
    # A lab host's clock is that of the machine around it.
    assert facts["clock_synchronised"] is None
    assert abs(facts["clock_step_seconds"]) < 1


def test_prometheus_reads_without_privileges_what_status_shows(host: Host) -> None:
    host.run("systemctl start market-pulse-alerts")
    figures = host.run("runuser -u nobody -- cat /run/market-pulse-alerts/market_pulse.prom").splitlines()
    assert 'market_pulse_unit_up{unit="market-pulse-producer"} 1.0' in figures
    assert {line.split("{")[0] for line in figures} >= {"market_pulse_bar_age_seconds", "market_pulse_disk_used_bytes"}
    assert any(line.startswith("market_pulse_batch_duration_seconds ") for line in figures)


def test_status_says_what_is_down(host: Host) -> None:
    host.run("systemctl stop market-pulse-producer")
    try:
        assert host.run("market-pulse status >/dev/null; echo $?") == "2"
        assert "market-pulse-producer is inactive" in host.run("market-pulse status", check=False)
    finally:
        host.run("systemctl start market-pulse-producer")


def test_the_target_stops_and_starts_the_whole(host: Host) -> None:
    host.run("systemctl stop market-pulse.target")
    for unit in UNITS:
        eventually(
            lambda unit=unit: host.show(unit, "ActiveState")["ActiveState"] == "inactive",
            within=60,
            what=f"{unit} has left with the target",
        )
    host.run("systemctl start market-pulse.target", timeout=300)
    host.await_running(*UNITS, within=180)


def test_the_producers_journal_is_worth_tailing(host: Host) -> None:
    lines = host.run("journalctl -u market-pulse-producer -o json -n 200").splitlines()
    entries = [json.loads(line) for line in lines]
    own = [entry for entry in entries if entry.get("_SYSTEMD_UNIT") == "market-pulse-producer.service"]
    assert own, "the producer has logged nothing"
    assert all("\n" not in entry["MESSAGE"] for entry in own)
    assert any(entry["MESSAGE"].startswith("bars: ") for entry in own)
    assert "Traceback" not in "".join(str(entry["MESSAGE"]) for entry in own)
    assert {"6"} <= {entry["PRIORITY"] for entry in own}, "nothing is logged at the level of information"
