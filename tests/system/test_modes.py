"""Who may read and write the files of a host: its code is root's, its state each unit's own, its keys nobody else's."""

import pytest

from system.deployment import JOBS, UNITS
from system.host import Host


def test_nobody_may_write_what_everybody_may_write(host: Host) -> None:
    found = host.run("find / -xdev \\( -type f -o -type d ! -perm -1000 \\) -perm -0002")
    assert found == ""


def test_no_program_gives_more_rights_than_debians(host: Host) -> None:
    programs = host.run("find / -xdev -type f -perm /6000").split()
    assert programs, "Debian has some, such as passwd"
    # Debian 12 knows some by their place before /bin became /usr/bin.
    foreign = [path for path in programs if not host.run(f"dpkg -S {path} || dpkg -S {path[4:]} || true")]
    assert foreign == []


def test_no_unit_can_change_the_code_that_it_runs(host: Host) -> None:
    assert host.run("find /opt /usr/local/bin ! -type l \\( ! -user root -o ! -group root -o -perm /022 \\)") == ""
    assert host.run("find /etc/systemd/system /etc/market-pulse ! -type l \\( ! -user root -o -perm /022 \\)") == ""


@pytest.mark.parametrize("unit", [*UNITS, *JOBS])
def test_state_is_the_units_own(host: Host, unit: str) -> None:
    shown = host.show(unit, "StateDirectory", "User")
    for name in shown["StateDirectory"].split():
        assert host.run(f"stat -c '%U %a' /var/lib/{name}") == f"{shown['User']} 700"


def test_keys_and_who_gets_into_the_database_are_readable_by_whom_they_are_for(host: Host) -> None:
    keys = host.run("find /etc/market-pulse /etc/postgresql /var/lib/market-pulse -name '*.key'").split()
    assert keys, "PostgreSQL has one"
    for key in keys:
        assert host.run(f"stat -c %a {key}") in {"400", "600"}
    assert host.run("stat -c '%U %a' /etc/postgresql/*/main/pg_hba.conf") == "postgres 640"
    assert host.run("stat -c '%U %a' /var/lib/postgresql/*/main") == "postgres 700"
