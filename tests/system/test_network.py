"""Who gets in from the network, and how far: an analyst to the bars, encrypted, and nobody to anything else."""

from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import trustme

from system.deployment import ADDRESS, BRIDGE, Deployment
from system.host import Host
from system.neighbour import Neighbour, neighbour

_SSH, _POSTGRESQL = 22, 5432
_HOW = "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"

# The neighbours need the lab's network.
pytestmark = pytest.mark.usefixtures("host")

Psql = Callable[..., CompletedProcess[str]]


@pytest.fixture(scope="module")
def analyst() -> Iterator[Neighbour]:
    """A computer in the analysts' network."""
    with neighbour("mp-analyst", "10.77.2.40/24", BRIDGE) as computer:
        yield computer


@pytest.fixture(scope="module")
def stranger() -> Iterator[Neighbour]:
    """A computer beside the host, in no network that the inventory names."""
    with neighbour("mp-stranger", "10.77.2.200/24", BRIDGE) as computer:
        yield computer


@pytest.fixture(scope="module")
def psql(deployment: Deployment, analyst: Neighbour) -> Psql:
    """The analyst's psql, as the README has him connect; what a test gives goes before."""

    def run(query: str = _HOW, **given: str) -> CompletedProcess[str]:
        return analyst.run("psql", "-XAtc", query, **(deployment.analyst() | given))

    return run


def test_from_the_analysts_network_the_database_and_ssh_are_open(analyst: Neighbour) -> None:
    assert analyst.open_ports(ADDRESS) == {_SSH, _POSTGRESQL}


def test_from_elsewhere_on_the_network_ssh_alone_is_open(stranger: Neighbour) -> None:
    assert stranger.open_ports(ADDRESS) == {_SSH}


def test_what_listens_beyond_loopback_is_what_is_wanted(host: Host) -> None:
    listening = host.run("ss --no-header --listening --tcp --numeric").splitlines()
    addresses = {line.split()[3] for line in listening}
    beyond = {address for address in addresses if not address.startswith(("127.", "[::1]", "[::ffff:127."))}
    assert beyond == {f"{ADDRESS}:{_POSTGRESQL}", f"0.0.0.0:{_SSH}", f"[::]:{_SSH}"}


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_an_analyst_gets_in_encrypted_and_knows_whom_he_speaks_with(psql: Psql, version: str) -> None:
    answer = psql(PGSSLMAXPROTOCOLVERSION=version)
    assert (answer.stdout.strip(), answer.stderr) == (version, "")
    assert int(psql("SELECT count(*) FROM bi.events_stream").stdout) > 0


def test_without_encryption_nobody_gets_in(psql: Psql) -> None:
    answer = psql(PGSSLMODE="disable")
    assert answer.returncode != 0
    assert "no encryption" in answer.stderr


def test_with_a_wrong_password_nobody_gets_in(psql: Psql) -> None:
    answer = psql(PGPASSWORD="a-guess")
    assert answer.returncode != 0
    assert "password authentication failed" in answer.stderr


def test_whoever_trusts_another_authority_does_not_speak_with_the_server(psql: Psql, tmp_path: Path) -> None:
    foreign = tmp_path / "ca.crt"
    trustme.CA().cert_pem.write_to_path(foreign)
    answer = psql(PGSSLROOTCERT=str(foreign))
    assert answer.returncode != 0
    assert "certificate verify failed" in answer.stderr


@pytest.mark.parametrize("account", ["market_pulse_writer", "market_pulse_keeper", "postgres"])
def test_other_accounts_do_not_come_from_the_analysts_network(psql: Psql, account: str) -> None:
    answer = psql(PGUSER=account)
    assert answer.returncode != 0
    assert "no pg_hba.conf entry" in answer.stderr


@pytest.mark.parametrize("version", ["tls1", "tls1_1"])
def test_old_tls_is_refused(analyst: Neighbour, version: str) -> None:
    ciphers = ["-cipher", "ALL:@SECLEVEL=0"]
    command = ["openssl", "s_client", "-starttls", "postgres", "-connect", f"{ADDRESS}:{_POSTGRESQL}", *ciphers]
    refused = analyst.run(*command, f"-{version}")
    assert refused.returncode != 0
    assert "alert protocol version" in refused.stderr
    assert analyst.run(*command, "-tls1_2").returncode == 0


def test_every_password_is_kept_as_scram_and_asked_for_as_scram(host: Host) -> None:
    accounts = host.sql("select rolname, left(rolpassword, 14) from pg_authid where rolpassword is not null")
    assert {kept for _, kept in accounts} == {"SCRAM-SHA-256$"}
    ways = host.sql("select distinct type, auth_method from pg_hba_file_rules")
    assert sorted(map(tuple, ways)) == [("hostssl", "scram-sha-256"), ("local", "peer")]
