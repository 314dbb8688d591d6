"""No secret shows anywhere, after all other tests of the system have run."""

from system.deployment import Deployment
from system.host import Host
from system.secrets_sought import lines, shown


def test_no_secret_shows_on_the_host(deployment: Deployment, host: Host) -> None:
    secrets = deployment.secrets()
    assert len(lines(secrets)) >= 6
    assert shown(host, secrets) == set()


def test_no_secret_is_in_what_ansible_prints_however_loud_it_is(deployment: Deployment) -> None:
    printed = deployment.printed
    assert "converge -s default -- -vvv --diff" in printed
    assert [name for name, secret in lines(deployment.secrets()).items() if secret in printed] == []


def test_a_secret_that_shows_would_be_found(host: Host) -> None:
    unit, word = "market-pulse-planted", "Planted0123456789"
    host.run(f"systemd-run --quiet --collect --unit={unit} --setenv=PLANTED={word} sleep 300")
    try:
        found = shown(host, {"planted": word})
        pid = host.main_pid(unit)
    finally:
        host.run(f"systemctl stop {unit}")
    assert {f"planted is in /proc/{pid}/environ", "planted is in systemctl show"} <= found
    assert f"planted is in /run/systemd/transient/{unit}.service" in found


def test_credentials_are_roots_alone(host: Host) -> None:
    assert host.run("stat -c '%U %G %a' /etc/market-pulse/credentials") == "root root 700"
    assert set(host.run("stat -c '%U %G %a' /etc/market-pulse/credentials/*").splitlines()) == {"root root 600"}
