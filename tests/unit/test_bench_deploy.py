"""What the bench of the deployment makes of what it reads."""

import pytest

from bench.deploy import Step, by_role, footprint_table, proportional, steps_table, unit_of

_CGROUPS = """9:name=systemd:/market-pulse-lab-demo/payload/system.slice/market-pulse-kafka.service
8:pids:/market-pulse-lab-demo
0::/market-pulse-lab-demo/payload/system.slice/market-pulse-kafka.service
"""


@pytest.mark.parametrize(
    ("cgroups", "unit"),
    [
        (_CGROUPS, "market-pulse-kafka.service"),
        (
            "0::/market-pulse-lab-demo/payload/system.slice/system-postgresql.slice/postgresql@17-main.service\n",
            "postgresql@17-main.service",
        ),
        ("0::/market-pulse-lab-demo/payload/init.scope\n", None),
        ("0::/system.slice/market-pulse-kafka.service\n", None),
        ("0::/market-pulse-lab-demo-2/payload/system.slice/market-pulse-kafka.service\n", None),
    ],
)
def test_a_process_is_told_by_its_unit_on_a_lab_host(cgroups: str, unit: str | None) -> None:
    assert unit_of("demo", cgroups) == unit


def test_memory_is_what_is_shared_in_part() -> None:
    rollup = "5635-7fff ---p 00000000 00:00 0 [rollup]\nRss:    4096 kB\nPss:    1536 kB\nPss_Anon:    512 kB\n"
    assert proportional(rollup) == 1.5
    assert proportional("") == 0
    told = footprint_table(
        {"now": {"ssh.service": 0.4, "a.service": 1.5, "b.service": 1023}, "later": {"a.service": 3}}
    )
    assert told.splitlines() == [
        "| unit | now, MiB | later, MiB |",
        "| --- | ---: | ---: |",
        "| all of the host | 1,025 | 3 |",
        "| b.service | 1,023 | 0 |",
        "| a.service | 2 | 3 |",
    ]


def test_the_roles_that_take_a_second_are_told_the_longest_first() -> None:
    steps = [Step("cold", 60, {"java": 0.6, "app": 40.2, "unit": 12}), Step("warm", 30, {"unit": 11.4})]
    assert steps_table(steps).splitlines()[2:] == ["| all of it | 60 | 30 |", "| app | 40 | 0 |", "| unit | 12 | 11 |"]


def test_what_a_command_of_several_playbooks_took_is_counted_once() -> None:
    printed = """TASKS RECAP ********************************
java : Install ---------------------- 5.50s
TASKS RECAP ********************************
unit : Start the unit --------------- 7.25s
java : Install ---------------------- 5.50s
unit : Start the unit --------------- 1.25s
Gathering Facts --------------------- 2.00s
"""
    assert by_role(printed) == {"unit": 8.5, "java": 5.5, "the plays' own": 2}
