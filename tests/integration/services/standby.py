"""A primary and its streaming standby, made by the role's own statements: two clusters on two addresses of loopback."""

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined

from integration.services.database import OS_USER, PASSWORD, Cluster, Database, Server, cluster, place
from support.repository import ANSIBLE, group_vars
from support.waiting import eventually

SLOT = "standby_db2"
_ROLE = ANSIBLE / "roles/postgresql"
_NAME = "market_pulse"
_STANDBY_HOST = "127.0.0.2"
_STREAMS = "SELECT count(*)::int FROM pg_stat_replication WHERE state = 'streaming'"


@dataclass
class Pair:
    """The two clusters and their servers."""

    clusters: tuple[Cluster, Cluster]
    primary: Database
    standby: Database
    _running: tuple[contextlib.ExitStack, contextlib.ExitStack]

    @property
    def clients(self) -> Database:
        """Return the database as clients are told of it: on either of the hosts."""
        hosts = f"{self.primary.server.host},{self.standby.server.host}"
        return Database(replace(self.primary.server, host=hosts), self.primary.name)

    def stop_primary(self) -> None:
        """Stop it as promote.yml does, so that the standby has all of it."""
        self._running[0].close()

    def lose_primary(self) -> None:
        """End it as a lost host ends."""
        made = self.clusters[0]
        made.run(made.binaries / "pg_ctl", "-D", made.data, "-m", "immediate", "stop")
        self._running[0].close()

    def stop_standby(self) -> None:
        """Stop the standby."""
        self._running[1].close()

    def cut(self) -> None:
        """Let the standby receive nothing any more, and be read as before."""
        self.standby.server.execute("ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()")
        eventually(lambda: self.primary.query(_STREAMS) == [(0,)], within=30, what="the standby has hung up")

    def promote(self) -> None:
        """Make the standby the primary."""
        assert self.standby.query("SELECT pg_promote(true, 60)") == [(True,)]


def set_slots(server: Server, *slots: str, renewed: Sequence[str] = ()) -> list[str]:
    """Run the role's statements for these slots, of which some are to be made anew; return what they say."""
    known = {"_postgresql_wanted_slots": slots, "_postgresql_renewed_slots": renewed}
    with contextlib.closing(server.connect()) as connection, connection, connection.cursor() as cursor:
        said: list[str] = []
        for name in ("_postgresql_drop_slots", "_postgresql_make_slots"):
            cursor.execute(_expression(name, **known))
            said += [line for (line,) in cursor]
        return said


@contextlib.contextmanager
def replicated(**settings: object) -> Iterator[Pair]:
    """Run both until the block ends, the primary with more settings than the usual ones."""
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(cluster())
        second = stack.enter_context(place(first.port, _STANDBY_HOST))
        running = stack.enter_context(contextlib.ExitStack()), stack.enter_context(contextlib.ExitStack())
        server = running[0].enter_context(first.served(**settings))
        primary = server.make_database(_NAME)
        set_slots(server, SLOT)
        _copy(first, second, server)
        standby = running[1].enter_context(second.served())
        pair = Pair((first, second), primary, Database(standby, _NAME), running)
        eventually(lambda: primary.query(_STREAMS) == [(1,)], within=30, what="the standby streams")
        yield pair


def _copy(first: Cluster, second: Cluster, server: Server) -> None:
    """Copy the primary as the role does, with its connection to follow by."""
    passfile = second.directory / "replication.pgpass"
    passfile.write_text(f"*:*:*:{server.accounts['replicator']}:{PASSWORD}\n")
    passfile.chmod(0o600)
    if OS_USER is not None:
        shutil.chown(passfile, OS_USER, OS_USER)
    known = {
        "_postgresql_bin": first.binaries,
        "_postgresql_copy": second.data,
        "_postgresql_passfile": passfile,
        "_postgresql_slot": SLOT,
        "groups": {"postgresql": ["db1"]},
        "hostvars": {"db1": {"market_pulse_address": server.host}},
        "market_pulse_accounts": server.accounts,
        "market_pulse_paths": {"authority": server.authority},
        "market_pulse_ports": {"postgresql": server.port},
    }
    known["_postgresql_primary"] = _expression("_postgresql_primary", **known)
    (block,) = [task["block"] for task in yaml.safe_load((_ROLE / "tasks/copy.yml").read_text()) if "block" in task]
    (argv,) = [task["ansible.builtin.command"]["argv"] for task in block if task["name"] == "Copy its data"]
    second.run(*(_rendered(word, **known) for word in argv[argv.index("--") + 1 :]))
    following = yaml.safe_load((_ROLE / "vars/main.yml").read_text())["_postgresql_following"]
    with (second.data / "postgresql.auto.conf").open("a") as file:
        file.writelines(f"{name} = '{_rendered(value, **known)}'\n" for name, value in following.items())
    second.run("touch", second.data / "standby.signal")


def _expression(name: str, **known: Any) -> str:
    return _rendered(yaml.safe_load((_ROLE / "vars/main.yml").read_text())[name], **known)


def _rendered(text: str, **known: Any) -> str:
    jinja = Environment(undefined=StrictUndefined, autoescape=False)  # noqa: S701 - no page
    return jinja.from_string(text).render(group_vars("pipeline") | known)
