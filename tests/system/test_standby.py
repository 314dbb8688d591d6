"""A database of two lab hosts: the standby follows, is promoted, and the old primary follows it, by the playbooks."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest
import yaml

from support.repository import ANSIBLE, ROOT
from support.waiting import eventually
from system.host import Host

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

FIRST, SECOND = "mp-standby-1", "mp-standby-2"
ADDRESSES = {FIRST: "10.77.4.10", SECOND: "10.77.4.11"}
_GATEWAY = "10.77.4.1"
# The database alone, and what works beside it.
_TAGS = ("--tags", "postgresql,postgresql_standby,untagged")
_SECONDS = 2400
_SINK = "/run/test-sink"
_CONFLICTS = "select count(*) - count(distinct volume), count(*) from market.bar"
_HOLES = """
select count(*) from (select from_offset, lag(until_offset, 1, 0::bigint) over (order by from_offset) as expected
  from market.batch) as ledger where from_offset <> expected
"""
_STREAMS = "select count(*) from pg_stat_replication where state = 'streaming'"


class Lab:
    """The two hosts, beside the demo's and the other tests'."""

    def __init__(self, directory: Path, home: Path) -> None:
        """Nothing is made yet; `home` is the lab's own directory."""
        self._directory = directory
        self._home = home
        self._log = directory / "log"

    def inventory(self, primary: str, *standbys: str) -> Path:
        """Write who is what, and return the file."""
        lab = {
            "lab_host_directory": str(self._home),
            "lab_host_bridge": "mp-standby",
            "lab_host_network": "10.77.4.0/24",
            "lab_host_gateway": _GATEWAY,
        }
        hosts = {name: {"lab_host_address": address} for name, address in ADDRESSES.items()}
        # What is not deployed here has its hosts nevertheless, and so its ways to the database.
        others = {name: [SECOND] for name in ("kafka", "spark_master", "spark_worker", "consumer", "producer")}
        groups = {"postgresql": [primary], "postgresql_standby": standbys, "simulator": [], **others}
        children = {name: {"hosts": dict.fromkeys(members)} for name, members in groups.items()}
        variables = {
            "market_pulse_symbols": ["IBM"],
            "market_pulse_source": "replay",
            "producer_replay_folder": "/srv/answers",
            "market_pulse_bi_networks": [f"{_GATEWAY}/32"],
            "postgresql_shared_buffers": "64MB",
        }
        path = self._directory / "standby" / "hosts.yml"
        path.parent.mkdir(exist_ok=True)
        whole = {"vars": variables, "children": {"lab": {"vars": lab, "hosts": hosts}, **children}}
        path.write_text(yaml.safe_dump({"all": whole}))
        return path

    def play(self, inventory: Path, playbook: str, *arguments: str, refusal: str | None = None) -> str:
        """Run a playbook and return what it printed; with a refusal, it must end in these words."""
        command = [Path(sys.executable).with_name("ansible-playbook"), "-i", inventory, playbook, *arguments]
        environment = os.environ | {"ANSIBLE_CONFIG": str(ANSIBLE / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        done = subprocess.run(
            command, cwd=ANSIBLE, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
        printed = done.stdout + done.stderr
        with self._log.open("a") as log:
            log.write(f"\n$ {playbook} {' '.join(arguments)}\n{printed}")
        assert (done.returncode != 0) is (refusal is not None), f"all of it is in {self._log}:\n{printed[-6000:]}"
        assert refusal is None or refusal in " ".join(printed.split()), printed[-6000:]
        return printed

    def site(self, inventory: Path, *arguments: str, refusal: str | None = None) -> str:
        """Deploy the database."""
        return self.play(inventory, "site.yml", *_TAGS, *arguments, refusal=refusal)

    def host(self, name: str) -> Host:
        """Return a host."""
        config = self._home / "hosts" / name / "ssh_config"
        return Host(("ssh", "-q", "-F", str(config), "-oConnectTimeout=5", name))

    def secret(self, name: str) -> str:
        """Return a secret of the deployment's vault."""
        secrets = self._home / "secrets"
        view = [Path(sys.executable).with_name("ansible-vault"), "view", "--vault-password-file"]
        command = [*view, secrets / "vault-password", secrets / "vault.yml"]
        opened = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return str(yaml.safe_load(opened)[f"vault_market_pulse_{name}"])

    @property
    def authority(self) -> Path:
        """The certificate by which clients know the hosts."""
        return self._home / "secrets" / "certificates" / "ca.crt"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two hosts, of which the second is the first one's standby.

    With MARKET_PULSE_KEEP_LAB set, those of an earlier session are used as they are, and kept.
    """
    directory = tmp_path_factory.mktemp("standby")
    if os.environ.get("MARKET_PULSE_KEEP_LAB"):
        yield Lab(directory, ROOT / ".lab" / "standby")
        return
    made = Lab(directory, directory / "lab")
    inventory = made.inventory(FIRST, SECOND)
    try:
        made.play(inventory, "lab_up.yml", "secrets.yml")
        made.site(inventory)
        yield made
    finally:
        made.play(inventory, "lab_down.yml")


def assert_unchanged(printed: str) -> None:
    recap = re.findall(r"(\S+)\s+: ok=\d+\s+changed=(\d+)", printed)
    assert recap, "the playbook printed no recap"
    assert [host for host, changed in recap if changed != "0"] == [], recap


def findings(host: Host) -> list[str]:
    """Return what `status` finds wrong with the database's hosts; there is no broker here."""
    found = host.status()["findings"]
    assert isinstance(found, list)
    return [finding["sentence"] for finding in found if "standby" in finding["key"] or "primaries" in finding["key"]]


def await_streaming(primary: Host) -> None:
    eventually(lambda: primary.number(_STREAMS) == 1, within=60, what="the standby streams")
    eventually(lambda: findings(primary) == [], within=60, what="status finds nothing wrong with the standby")


def as_reader(lab: Lab, name: str, query: str) -> Sequence[object]:
    """Return the first row of a query as an analyst's computer would ask it."""
    session = psycopg2.connect(
        host=ADDRESSES[name],
        dbname="market_pulse",
        user="bi_reader",
        password=lab.secret("postgresql_bi_reader_password"),
        sslmode="verify-full",
        sslrootcert=str(lab.authority),
    )
    with session, session.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()[0]


def start_sink(lab: Lab, host: Host) -> None:
    """Have the sink's writer work on a host, told of both as the consumer is."""
    topic_id = uuid4()
    lab.host(FIRST).sql(
        "insert into market.stream_position (topic_id, partition, topic, next_offset) "
        f"values ('{topic_id}', 0, 'bars', 0)"
    )
    host.run(f"mkdir -m 0700 {_SINK}")
    host.run(f"cat >{_SINK}/mp_postgresql_writer_password", stdin=lab.secret("postgresql_writer_password"))
    host.put(Path(__file__).with_name("standby_sink.py"), f"{_SINK}/sink.py")
    hosts = ",".join(ADDRESSES.values())
    host.run(
        f"systemd-run --quiet --unit=test-sink --setenv=CREDENTIALS_DIRECTORY={_SINK} "
        f"/opt/market-pulse/venv/bin/python {_SINK}/sink.py {hosts} {topic_id} {_SINK}"
    )


def stop_sink(host: Host) -> int:
    """Stop it, and return how many records it has stored."""
    host.run(f"touch {_SINK}/stop")
    return int(eventually(lambda: host.run(f"cat {_SINK}/end", check=False), within=120, what="the sink has ended"))


def test_a_second_run_changes_nothing(lab: Lab) -> None:
    assert_unchanged(lab.site(lab.inventory(FIRST, SECOND)))


def test_it_follows_and_is_read(lab: Lab) -> None:
    first, second = lab.host(FIRST), lab.host(SECOND)
    await_streaming(first)
    assert second.sql("select pg_is_in_recovery()") == [["t"]]
    assert second.sql("show max_slot_wal_keep_size") == [["4GB"]]
    start_sink(lab, second)
    eventually(lambda: second.number("select count(*) from market.bar") > 100, within=60, what="rows are replicated")
    assert int(str(as_reader(lab, SECOND, "select count(*) from bi.events_stream")[0])) > 100
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        as_reader(lab, SECOND, "create temp table x ()")
    # Everybody's, and so the screen's of both hosts.
    for host in (first, second):
        assert f"database: primary {ADDRESSES[FIRST]}, {ADDRESSES[SECOND]} " in host.run(
            "market-pulse status", check=False
        )
        assert f'market_pulse_standby_up{{host="{ADDRESSES[SECOND]}"}} 1.0' in host.run("market-pulse metrics")


def test_nobody_else_copies_the_database(lab: Lab) -> None:
    password = lab.secret("postgresql_replicator_password")
    for address in ADDRESSES.values():
        with pytest.raises(psycopg2.OperationalError, match=r"no pg_hba\.conf entry for replication"):
            psycopg2.connect(host=address, user="market_pulse_replicator", password=password, replication="true")
        with pytest.raises(psycopg2.OperationalError, match=r"no pg_hba\.conf entry"):
            psycopg2.connect(host=address, user="market_pulse_replicator", password=password, dbname="market_pulse")


def test_what_works_beside_the_database_waits_on_the_standby(lab: Lab) -> None:
    first, second = lab.host(FIRST), lab.host(SECOND)
    first.await_running("market-pulse-auditor", within=60)
    second.await_sentence("market-pulse-auditor", "idle: the server of this host is a standby", within=60)
    for job in ("backup", "restore-proof", "upkeep"):
        second.run(f"systemctl start market-pulse-{job}")
        assert second.show(f"market-pulse-{job}", "Result") == {"Result": "success"}
        assert "the server of this host is a standby" in second.run(f"journalctl -u market-pulse-{job} -o cat -n 5")


def test_a_standby_that_is_promoted_is_followed_by_who_writes(lab: Lab) -> None:
    first, second = lab.host(FIRST), lab.host(SECOND)
    before = lab.inventory(FIRST, SECOND)
    lab.play(before, "promote.yml", "-e", f"host={FIRST}", refusal=f"which standby is to be the primary: {SECOND}")
    printed = lab.play(before, "promote.yml", "-e", f"host={SECOND}")
    assert "It lacks 0 bytes of the old primary" in " ".join(printed.split())
    assert second.sql("select pg_is_in_recovery()") == [["f"]]
    # Who is told of both finds the new one.
    reached = second.number("select count(*) from market.bar")
    eventually(lambda: second.number("select count(*) from market.bar") > reached, within=60, what="bars go on")
    # The old one is off, and stays so.
    unit = "postgresql@17-main.service"
    assert first.run(f"systemctl is-active {unit}", check=False) in ("inactive", "failed")
    assert "Cluster is disabled" in first.run("pg_ctlcluster --skip-systemctl-redirect 17 main start 2>&1", check=False)
    second.await_finding("no standby streams from the database", within=60)
    eventually(
        lambda: "idle" not in second.show("market-pulse-auditor", "StatusText")["StatusText"],
        within=60,
        what="it audits",
    )
    eventually(
        lambda: "full backup: " in second.run("pgbackrest --stanza=market-pulse info"),
        within=180,
        what="its own backup",
    )
    told = stop_sink(second)
    assert told > reached
    assert second.sql(_CONFLICTS) == [["0", str(told)]]
    assert second.sql(_HOLES) == [["0"]]


def test_the_old_primary_follows_the_new_one_once_its_data_is_given_up(lab: Lab) -> None:
    first, second = lab.host(FIRST), lab.host(SECOND)
    # The inventory has to say so, and the old data is not given up by chance.
    lab.site(lab.inventory(FIRST, SECOND), refusal="was taken out of service by promote.yml")
    after = lab.inventory(SECOND, FIRST)
    lab.site(after, refusal=f"-e postgresql_replace_data={FIRST}")
    lab.site(after, "-e", f"postgresql_replace_data={FIRST}")
    await_streaming(second)
    assert first.sql(_CONFLICTS) == second.sql(_CONFLICTS)
    assert_unchanged(lab.site(after))


def test_a_primary_that_is_lost_is_replaced_once_its_operator_says_that_it_is_off(lab: Lab) -> None:
    first, second = lab.host(FIRST), lab.host(SECOND)
    after = lab.inventory(SECOND, FIRST)
    second.run("systemctl poweroff --force --force", check=False)
    eventually(lambda: second.run("true; echo $?", check=False) == "", within=60, what="it does not answer")
    lab.play(after, "promote.yml", "-e", f"host={FIRST}", refusal="say so by -e old_primary_is_off=true")
    assert first.sql("select pg_is_in_recovery()") == [["t"]]
    lab.play(after, "promote.yml", "-e", json.dumps({"host": FIRST, "old_primary_is_off": True}))
    assert first.sql("select pg_is_in_recovery()") == [["f"]]
    told = first.run("grep -h ^MP_DATABASE_HOST= /etc/market-pulse/cli.env /etc/market-pulse/alerts.env").split()
    assert told == [f'MP_DATABASE_HOST="{ADDRESSES[FIRST]}"'] * 2
    # It comes back as what it was, and is made what the inventory says now.
    lab.play(after, "lab_up.yml")
    lab.site(lab.inventory(FIRST, SECOND), "-e", f"postgresql_replace_data={SECOND}")
    await_streaming(first)
