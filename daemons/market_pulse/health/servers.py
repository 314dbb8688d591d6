"""Kafka's brokers, Spark's master and workers, and pgAdmin, as they show themselves."""

import enum
from dataclasses import dataclass
from typing import Any

import msgspec

from market_pulse.health.verdict import Verdict, count, ill, well

# A master in any other state knows no worker, or is still asking each.
_LEADING = "ALIVE"


@dataclass(frozen=True, kw_only=True)
class BrokerFacts:
    """One broker's view of its quorum, and how long a record took through its log and back."""

    node_id: int
    leader_id: int
    voters: int
    round_trip_seconds: float


@dataclass(frozen=True, kw_only=True)
class ControllerFacts:
    """What a controller answered that is no broker; `voters` is None where another one leads, who alone counts them."""

    node_id: int
    voters: int | None


class MasterPage(msgspec.Struct, frozen=True, kw_only=True):
    """The part of the Spark master's JSON page that is looked at."""

    status: str
    workers: list["MasterPageWorker"]
    activeapps: list[dict[str, Any]]

    @property
    def leads(self) -> bool:
        """Return whether it takes workers and drivers, and is not a standby or still coming back."""
        return self.status == _LEADING


class MasterPageWorker(msgspec.Struct, frozen=True, kw_only=True):
    """One worker as the Spark master sees it."""

    id: str
    state: str


class WorkerPage(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a Spark worker's JSON page that is looked at."""

    id: str
    masterurl: str
    cores: int
    coresused: int
    executors: list[dict[str, Any]]


class Silence(enum.Enum):
    """Why there is no word from a worker's master."""

    NO_ANSWER = enum.auto()
    NOT_ASKED = enum.auto()


def broker(facts: BrokerFacts) -> Verdict:
    """Judge a broker whose round trip succeeded: no restart of one node brings back others that its quorum lacks."""
    if facts.leader_id < 0:
        if facts.voters > 1:
            return well(f"degraded: node {facts.node_id} sees no leader among {facts.voters} voters")
        return ill(f"node {facts.node_id} is the only voter and does not lead")
    role = "leads" if facts.leader_id == facts.node_id else f"follows node {facts.leader_id} in"
    return well(
        f"serving: node {facts.node_id} {role} a quorum of {facts.voters}, "
        f"a record there and back in {facts.round_trip_seconds * 1000:.0f} ms",
    )


def controller(facts: ControllerFacts) -> Verdict:
    """Judge a controller that answered: no restart brings back the others that its quorum may lack."""
    if facts.voters is None:
        return well(f"serving: node {facts.node_id} does not lead the quorum")
    return well(f"serving: node {facts.node_id} leads a quorum of {facts.voters}")


def pgadmin(seconds: float) -> Verdict:
    """Judge pgAdmin, which took so long to answer: it asks a database for its reader alone, so none has to be there."""
    return well(f"serving: an answer in {seconds * 1000:.0f} ms")


def spark_master(page: MasterPage) -> Verdict:
    """Judge the Spark master: alive, or standing by for one that is."""
    workers = sum(worker.state == "ALIVE" for worker in page.workers)
    sentence = f"{page.status.lower()}: {count(workers, 'worker')}, {count(len(page.activeapps), 'application')}"
    return Verdict(page.leads or page.status == "STANDBY", sentence)


def spark_worker(page: WorkerPage, master: MasterPage | Silence) -> Verdict:
    """Judge a Spark worker: registered, and so its master says, if that can be asked and leads."""
    work = f"{count(len(page.executors), 'executor')}, {page.coresused} of {page.cores} cores in use"
    if not page.masterurl:
        return ill("not registered with a master yet")
    if master is Silence.NO_ANSWER:
        return well(f"degraded: no answer from the master's page; {work}")
    if isinstance(master, MasterPage) and not master.leads:
        return well(f"degraded: the master is {master.status.lower()}; {work}")
    if isinstance(master, MasterPage) and not any(
        worker.id == page.id and worker.state == "ALIVE" for worker in master.workers
    ):
        return ill(f"{page.masterurl} does not count it among its workers")
    return well(f"registered with {page.masterurl}: {work}")
