"""Kafka's controllers, asked directly: who leads, and who votes on the metadata.

``python -m market_pulse.quorum META_PROPERTIES CONTROLLERS`` returns when the node votes whose storage that file is of,
as root on its host with the environment of its unit. A node that is new, or has lost its disk and with it its vote,
joins by itself (`controller.quorum.auto.join.enable`); which of the two votes, its directory's id tells.
"""

import base64
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from kafka.errors import KafkaError, NotLeaderForPartitionError, for_code
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.protocol.admin import DescribeQuorumRequest
from tenacity import RetryError, Retrying, TryAgain, retry_if_exception_type, stop_after_delay, wait_fixed

from market_pulse.errors import NodeError, SettingsError
from market_pulse.kafka_login import BrokerLogin, explained
from market_pulse.settings import KafkaNodeSettings

_TIMEOUT_MS = 5_000
# A new node reads the whole metadata before it may vote.
_VOTE_SECONDS = 120
# Without it the client asks for topics, of which a controller knows nothing (kafka-python 3.0.12).
_PROTOCOL = (4, 0)

_Topic = DescribeQuorumRequest.TopicData
_QUESTION = DescribeQuorumRequest(
    topics=[_Topic(topic_name="__cluster_metadata", partitions=[_Topic.PartitionData(partition_index=0)])]
)


def voters(login: BrokerLogin) -> Mapping[int, UUID] | None:
    """Ask one controller who votes: the nodes, each with its directory's id; None where another one leads.

    Raises:
        RefusedError: it does not let the node in.
        OSError: nobody is there.
        kafka.errors.KafkaError: it does not answer.
    """
    host, _, port = login.servers.rpartition(":")
    # A client that finds nobody leaves its sockets behind (kafka-python 3.0.12).
    socket.create_connection((host, int(port)), timeout=_TIMEOUT_MS / 1000).close()
    client = KafkaNetClient(api_version=_PROTOCOL, request_timeout_ms=_TIMEOUT_MS, **login.options)
    manager: KafkaConnectionManager = client._manager  # noqa: SLF001 - the client has no other way to ask a controller
    manager._net.start()  # noqa: SLF001
    try:
        with explained(login):
            (partition,) = manager.run(_ask, manager).topics[0].partitions
    finally:
        client.close()
        manager._net.stop()  # noqa: SLF001
    error = for_code(partition.error_code)
    if error is NotLeaderForPartitionError:
        return None
    if partition.error_code:
        raise error(partition.error_message)
    return {voter.replica_id: UUID(str(voter.replica_directory_id)) for voter in partition.current_voters}


async def _ask(manager: KafkaConnectionManager) -> Any:
    (controller,) = manager.cluster.bootstrap_brokers()
    connection = manager.get_connection(controller.node_id, timeout_ms=_TIMEOUT_MS)
    await connection
    return await connection.send_request(_QUESTION)


def storage(properties: str) -> tuple[int, UUID]:
    """Return a node's id and its directory's id out of the text of its meta.properties.

    Raises:
        NodeError: it does not say them.
    """
    lines = dict(line.split("=", 1) for line in properties.splitlines() if "=" in line)
    try:
        directory = base64.urlsafe_b64decode(lines["directory.id"] + "==")
        return int(lines["node.id"]), UUID(bytes=directory)
    except (KeyError, ValueError) as error:
        raise NodeError(f"meta.properties has no usable node.id and directory.id: {error!r}") from None


def await_vote(settings: KafkaNodeSettings, controllers: Sequence[str], node: tuple[int, UUID]) -> None:
    """Return when the leader of the controllers counts the node among the voters.

    Raises:
        NodeError: it does not, within two minutes.
        RefusedError: a controller does not let it in.
    """
    said = ""
    try:
        for attempt in Retrying(
            retry=retry_if_exception_type(TryAgain), stop=stop_after_delay(_VOTE_SECONDS), wait=wait_fixed(0.5)
        ):
            with attempt:
                found = _leaders_voters(settings, controllers)
                said = "no leader answers" if found is None else f"the voters are {sorted(found)}"
                if found is None or found.get(node[0]) != node[1]:
                    raise TryAgain
    except RetryError:
        raise NodeError(
            f"node {node[0]}, with the directory {node[1]}, does not vote after {_VOTE_SECONDS} s: {said}"
        ) from None


def _leaders_voters(settings: KafkaNodeSettings, controllers: Sequence[str]) -> Mapping[int, UUID] | None:
    for controller in controllers:
        try:
            found = voters(settings.node_login(controller))
        except (KafkaError, OSError):
            # One that is away is none that leads.
            continue
        if found is not None:
            return found
    return None


def main(arguments: Sequence[str]) -> int:
    """Read the command line, wait for the vote, and return the exit code."""
    match arguments:
        case [path, controllers]:
            try:
                node = storage(Path(path).read_text(encoding="utf-8"))
                await_vote(KafkaNodeSettings.load(), controllers.split(","), node)
            except (NodeError, SettingsError, KafkaError, OSError) as error:
                sys.stderr.write(f"{error}\n")
                return os.EX_CONFIG
            return os.EX_OK
        case _:
            sys.stderr.write("usage: python -m market_pulse.quorum META_PROPERTIES CONTROLLERS\n")
            return os.EX_USAGE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
