"""Whatever is killed is back by itself, and what is not concerned goes on."""

import pytest

from support.waiting import eventually
from system.faults.injections import (
    AUDITOR,
    BROKER,
    CONSUMER,
    MASTER,
    PRODUCER,
    VENDOR,
    WORKER,
    kill,
    kill_executor,
    kill_sessions,
    kill_supervisor,
    last,
    overridden,
    stopped,
)
from system.faults.trial import ANY, AT_LEAST_ONCE, Trial
from system.host import Host


def test_a_killed_producer_and_vendor_are_back(host: Host, trial: Trial) -> None:
    units = [PRODUCER, VENDOR, AUDITOR]
    with trial("P1", "producer, simulator and auditor killed", within=15, restarts=dict.fromkeys(units, 1)):
        for unit in units:
            kill(host, unit)


def test_a_killed_broker_is_back_and_its_clients_wait_for_it(host: Host, trial: Trial) -> None:
    with trial("P4", "broker killed", within=45, restarts={BROKER: 1}):
        kill(host, BROKER)


def test_a_killed_driver_is_back(host: Host, trial: Trial) -> None:
    with trial("P7", "Spark driver killed", within=90, restarts={CONSUMER: 1}):
        kill(host, CONSUMER)


def test_a_killed_executor_is_replaced(host: Host, trial: Trial) -> None:
    # A batch under way ends with its executor, and the driver with the batch.
    with trial("P8", "executor killed", within=90, restarts={CONSUMER: range(2)}):
        kill_executor(host)


@pytest.mark.slow
def test_a_killed_master_is_back_and_the_stream_goes_on_without_it(host: Host, trial: Trial) -> None:
    with trial("P9", "Spark master killed", within=90, restarts={MASTER: 1}):
        kill(host, MASTER)


def test_a_worker_whose_supervisor_died_is_back_with_a_new_executor(host: Host, trial: Trial) -> None:
    with trial("P10", "Spark worker's supervisor killed", within=90, restarts={WORKER: 1, CONSUMER: range(2)}):
        kill_supervisor(host, WORKER)


@pytest.mark.slow
def test_killed_sessions_are_the_servers_own_to_mend(host: Host, trial: Trial) -> None:
    with trial("P12", "the sink's PostgreSQL sessions killed", within=30):
        kill_sessions(host)


def test_a_killed_postgresql_is_back_and_the_others_had_only_to_wait(host: Host, trial: Trial) -> None:
    postgresql = host.postgresql_unit()
    with trial("P13", "PostgreSQL killed", within=30, restarts={postgresql: 1}):
        kill_supervisor(host, postgresql)


def test_a_postgresql_that_cannot_start_says_so_and_comes_back_once_it_can(host: Host, trial: Trial) -> None:
    postgresql = host.postgresql_unit()
    wrong = f"{host.run('ls -d /etc/postgresql/*/main/conf.d')}/zz-wrong.conf"
    with trial("P19", "PostgreSQL with a wrong setting", within=90, restarts={postgresql: ANY, CONSUMER: ANY}):
        host.run(f"echo \"shared_buffers = 'a lot'\" >{wrong}")
        try:
            assert host.run(f"systemctl restart {postgresql} 2>&1; echo $?", check=False).splitlines()[-1] == "1"
            assert host.show(postgresql, "Result") == {"Result": "exit-code"}
            said = host.run(f"journalctl -u {postgresql} -n 50 -o cat")
            assert 'invalid value for parameter "shared_buffers"' in said
            host.await_finding("PostgreSQL cannot be asked", within=30)
        finally:
            host.run(f"rm {wrong}")


@pytest.mark.slow
def test_twenty_kills_of_the_producer_at_any_moment(host: Host, trial: Trial) -> None:
    with trial("P1x20", "producer killed twenty times", within=15, restarts={PRODUCER: 20}):
        for number in range(20):
            kill(host, PRODUCER)
            restarted = number + 1
            eventually(
                lambda n=restarted: host.show(PRODUCER, "NRestarts") == {"NRestarts": str(n)},  # type: ignore[misc]
                within=30,
                what="the producer is started again",
            )
            host.await_running(PRODUCER, within=60)


@pytest.mark.slow
def test_clean_restarts_in_a_row_are_no_crash_loop(host: Host, trial: Trial) -> None:
    with trial("P3", "producer restarted twenty times in a row", within=15):
        host.run(f"for number in $(seq 20); do systemctl restart {PRODUCER}; done", timeout=300)


@pytest.mark.slow
def test_twelve_kills_of_the_executor_end_with_a_new_driver_at_most(host: Host, trial: Trial) -> None:
    with trial("P8x12", "executor killed twelve times", within=90, restarts={CONSUMER: ANY}):
        alive = "pgrep --full [C]oarseGrainedExecutorBackend || true"
        for _ in range(12):
            before = eventually(lambda: host.run(alive), within=120, what="an executor runs")
            kill_executor(host)
            eventually(lambda old=before: host.run(alive) != old, within=30, what="it is gone")  # type: ignore[misc]


@pytest.mark.slow
def test_a_broker_that_is_away_for_ten_minutes_is_waited_for(host: Host, trial: Trial) -> None:
    restarts = {CONSUMER: ANY}
    with (
        trial("P6", "broker stopped for ten minutes", within=90, restarts=restarts, lasts=600),
        stopped(host, BROKER),
    ):
        producer = host.show(PRODUCER, "InvocationID")
        host.await_sentence(PRODUCER, "degraded: no answer from the broker", within=60)
        host.await_finding(f"{BROKER} is inactive", within=60)
        last(600)
        assert host.show(PRODUCER, "InvocationID") == producer
        assert host.is_running(PRODUCER)


@pytest.mark.slow
def test_no_jvm_outlives_its_supervisor(host: Host, trial: Trial) -> None:
    units = [BROKER, MASTER, WORKER, CONSUMER]
    with trial("P17", "supervisors of all JVMs killed", within=180, restarts=dict.fromkeys(units, AT_LEAST_ONCE)):
        for unit in units:
            kill_supervisor(host, unit)


@pytest.mark.slow
def test_a_postgresql_that_is_restarted_under_the_sink_is_waited_for(host: Host, trial: Trial) -> None:
    with trial("P14", "PostgreSQL restarted by hand", within=60):
        host.run(f"systemctl restart {host.postgresql_unit()}")


@pytest.mark.slow
def test_a_broker_with_too_few_files_says_so_and_comes_back_with_more(host: Host, trial: Trial) -> None:
    # Enough to load its code, about 90 files, and not to serve, about 180.
    with trial("P16", "broker with 140 files", within=120, restarts={BROKER: ANY, CONSUMER: ANY}):
        cursor = host.journal_cursor()
        with overridden(host, BROKER, "LimitNOFILE=140"):
            host.run(f"systemctl --no-block restart {BROKER}")
            said = f"journalctl --unit={BROKER} --after-cursor='{cursor}' --output=cat | grep --count 'files' || true"
            eventually(lambda: host.run(said) != "0", within=60, what="the journal tells of too many open files")
            host.await_finding(BROKER, within=60)
        host.run(f"systemctl restart {BROKER}", timeout=120)


@pytest.mark.slow
def test_a_producer_that_is_never_heard_of_does_not_count_as_started(host: Host, trial: Trial) -> None:
    with trial("P18", "producer's READY lost", within=30, restarts={PRODUCER: ANY}):
        # NotifyAccess=none would mean main to a unit of this type.
        with overridden(host, PRODUCER, "UnsetEnvironment=NOTIFY_SOCKET", "TimeoutStartSec=15s"):
            printed = host.run(f"systemctl restart {PRODUCER} 2>&1; echo $?", check=False)
            assert printed.splitlines()[-1] == "1"
            assert "timeout" in printed
            assert not host.is_running(PRODUCER)
        host.run(f"systemctl restart {PRODUCER}")
