"""A host that somebody has changed by hand: a dry run tells what a run would do, and does nothing."""

import re
from collections import Counter

import pytest

from system.deployment import UNITS, Deployment
from system.host import KAFKA_ADMIN, Host
from system.invariants import await_progress

_AUDITOR, _WEB, _PRODUCER = "market-pulse-auditor", "market-pulse-web", "market-pulse-producer"
_RULES, _ENVIRONMENT = "/etc/nftables.d/market-pulse.nft", "/etc/market-pulse/web.env"
_TOPIC = "--entity-type topics --entity-name market.bars"


def changed_tasks(printed: str) -> list[str]:
    """Return the names of the tasks that have changed something, or would; what their handlers do follows from it."""
    found, task = [], ""
    for line in printed.splitlines():
        if heading := re.match(r"(TASK|RUNNING HANDLER) \[(.*)\]", line):
            task = heading[2] if heading[1] == "TASK" else ""
        elif task and line.startswith("changed: ["):
            found.append(task)
    return found


def looks(host: Host) -> list[str]:
    """Return what has been changed by hand, as it is now."""
    units = host.show(_AUDITOR, "ActiveState", "UnitFileState") | host.show(_WEB, "InvocationID")
    settings = host.run(f"/opt/kafka/bin/kafka-configs.sh {KAFKA_ADMIN} --describe {_TOPIC}")
    return [*units.values(), settings, host.run(f"cat {_RULES} {_ENVIRONMENT}")]


# Two runs of the whole playbook, beside those of test_deployment.py.
@pytest.mark.slow
def test_a_dry_run_on_a_drifted_host_tells_what_a_run_would_mend(deployment: Deployment, host: Host) -> None:
    producer = host.show(_PRODUCER, "InvocationID")
    host.run(f"systemctl disable --now {_AUDITOR}")
    host.run(f"echo MP_INTERVAL=5min >>{_ENVIRONMENT}; echo '# by hand' >>{_RULES}")
    host.run(f"/opt/kafka/bin/kafka-configs.sh {KAFKA_ADMIN} --alter {_TOPIC} --add-config retention.ms=1000000")
    drifted = looks(host)
    told = changed_tasks(deployment.site("--check"))
    assert looks(host) == drifted, "the dry run changed something"
    done = changed_tasks(deployment.site())
    assert told == done
    assert len(told) == 5, told
    assert host.is_running(_AUDITOR)
    assert host.show(_AUDITOR, "UnitFileState") == {"UnitFileState": "enabled"}
    assert host.show(_PRODUCER, "InvocationID") == producer
    assert changed_tasks(deployment.site()) == []
    await_progress(host, within=60)


# As above; the restart of every unit comes on top.
@pytest.mark.slow
def test_a_dry_run_of_another_release_tells_of_every_restart(deployment: Deployment, host: Host) -> None:
    # Older than any unit's start: what is newer, a dry run sees on the host itself.
    host.run("echo 0.0.1 >/opt/market-pulse/release && touch --date=2026-01-01 /opt/market-pulse/release")
    before = [host.show(unit, "InvocationID") for unit in UNITS]
    told = Counter(changed_tasks(deployment.site("--check")))
    assert [host.show(unit, "InvocationID") for unit in UNITS] == before, "the dry run restarted something"
    done = Counter(changed_tasks(deployment.site()))
    # Who starts again by itself, as a job at its time or a driver whose master went, has the release before its turn.
    assert done <= told
    assert set(done) == set(told)
    assert sum(count for task, count in told.items() if "restart it if" in task) >= len(UNITS)
    assert not [unit for unit, old in zip(UNITS, before, strict=True) if host.show(unit, "InvocationID") == old]
    await_progress(host, within=60)
