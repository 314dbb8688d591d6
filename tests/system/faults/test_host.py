"""The whole host goes and comes: by a reboot, by a power cut."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from support.waiting import eventually
from system.deployment import UNITS, Deployment
from system.faults.injections import cut_the_power, reboot
from system.faults.trial import ANY, Trial
from system.host import Host

_HEAP = "cat /etc/market-pulse/kafka.env"


def test_a_reboot_brings_everything_back_and_bars_go_on(host: Host, trial: Trial) -> None:
    with trial("H1", "reboot", within=180, restarts=dict.fromkeys(UNITS, ANY)):
        reboot(host)


@pytest.mark.slow
def test_a_power_cut_is_survived_without_a_hand(deployment: Deployment, trial: Trial) -> None:
    with trial("H2", "power cut", within=180, restarts=dict.fromkeys(UNITS, ANY)):
        cut_the_power(deployment)


@pytest.mark.slow
def test_a_database_that_is_late_after_a_reboot_is_waited_for(host: Host, trial: Trial) -> None:
    late = "ExecStartPre=+/bin/sleep 120"
    # What is in /run would be gone with the reboot.
    drop_in = f"/etc/systemd/system/{host.postgresql_unit()}.d"
    with trial("H3", "reboot, with PostgreSQL two minutes late", within=300, restarts=dict.fromkeys(UNITS, ANY)):
        host.run(f"mkdir -p {drop_in} && printf '[Service]\n{late}\n' >{drop_in}/zz-late.conf")
        try:
            reboot(host)
            host.await_running(*UNITS, within=300)
            assert host.failed_units() == ""
        finally:
            host.run(
                f"rm {drop_in}/zz-late.conf && rmdir --ignore-fail-on-non-empty {drop_in} && systemctl daemon-reload"
            )


@pytest.mark.slow
def test_a_reboot_in_the_middle_of_a_deployment_is_made_good_by_the_next(
    deployment: Deployment, host: Host, trial: Trial
) -> None:
    units = dict.fromkeys(UNITS, ANY)
    with trial("H5", "reboot in the middle of a deployment", within=300, restarts=units, lasts=600):
        with ThreadPoolExecutor() as executor:
            # Another memory limit for everyone makes it write, and restart, each unit.
            interrupted = executor.submit(deployment.converge, kafka_heap="500m", spark_daemon_memory="380m")
            eventually(lambda: "500m" in host.run(_HEAP, check=False), within=300, what="the broker's heap is changed")
            reboot(host)
            with pytest.raises(AssertionError, match=r"UNREACHABLE|unreachable"):
                interrupted.result()
        deployment.converge()
    deployment.assert_idempotent()
