"""State that is damaged, gone or held by another is made good from what is true: PostgreSQL's positions."""

import pytest

from support.waiting import eventually
from system.faults.injections import BROKER, CONSUMER, PRODUCER, last, locked, stopped
from system.faults.trial import ANY, AT_LEAST_ONCE, Trial
from system.host import Host
from system.invariants import assert_positions_reach_the_logs_end

_CHECKPOINT = "/var/lib/market-pulse/consumer/checkpoint"
_LOG = "/var/lib/market-pulse/kafka/data"


def test_a_checkpoint_that_is_deleted_under_the_driver_is_made_anew(host: Host, trial: Trial) -> None:
    with trial("S3", "Spark's checkpoint deleted", within=90, restarts={CONSUMER: range(2)}):
        host.run(f"rm -r {_CHECKPOINT}")


@pytest.mark.slow
def test_a_checkpoint_that_is_damaged_does_not_matter_to_the_next_start(host: Host, trial: Trial) -> None:
    with trial("S2", "Spark's checkpoint damaged", within=60), stopped(host, CONSUMER):
        host.run(f"find {_CHECKPOINT} -type f -exec truncate --size=0 {{}} +")


@pytest.mark.slow
def test_a_table_that_somebody_locks_is_waited_for(host: Host, trial: Trial) -> None:
    with trial("S11", "table of bars locked for 45 s", within=60), locked(host, "market.bar"):
        last(45)


@pytest.mark.slow
def test_a_sink_without_the_right_to_write_stops_and_quarantines_nothing(host: Host, trial: Trial) -> None:
    with trial("S9", "the writer's right to insert revoked", within=90, restarts={CONSUMER: ANY}):
        host.sql("revoke insert on market.bar_revision from market_pulse_writer")
        try:
            said = f"journalctl --unit={CONSUMER} --since=-60s --output=cat | grep --count 'permission denied' || true"
            eventually(lambda: host.run(said) != "0", within=60, what="the journal says what is not allowed")
        finally:
            host.sql("grant insert on market.bar_revision to market_pulse_writer")


@pytest.mark.slow
def test_a_log_that_a_power_cut_left_without_its_tail_is_said_and_every_bar_is_stored(host: Host, trial: Trial) -> None:
    with trial("D8", "broker's log without its tail", within=120, restarts={BROKER: ANY, CONSUMER: AT_LEAST_ONCE}):
        cursor = host.journal_cursor()
        with stopped(host, PRODUCER):
            assert_positions_reach_the_logs_end(host)
            with stopped(host, BROKER, killed=True):
                # With it goes what the broker noted in the last minute of how much of the log is on the disk.
                newest = f"ls -t {_LOG}/market.bars-*/*.log | head -1"
                host.run(f"truncate --size=-20 $({newest}) && rm {_LOG}/recovery-point-offset-checkpoint")
                host.run(f"find {_CHECKPOINT}/commits -type f -exec truncate --size=0 {{}} +")
        said = (
            f"journalctl --unit={CONSUMER} --after-cursor='{cursor}' --output=cat | grep -o 'SELECT market.accept_.*)'"
        )
        eventually(lambda: host.run(f"{said} || true"), within=120, what="the consumer says what must be accepted")
        for statement in set(host.run(said).splitlines()):
            host.sql(statement)
