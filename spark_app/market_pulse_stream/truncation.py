"""Whether the log below a stored position is still the one that was stored.

A broker whose log lost its tail, as by a power cut, gives the same offsets to other records. It leads in a new epoch
then, and knows where the log of the old one ended; once the log has grown past the position, nothing else shows it.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import KafkaError, for_code
from kafka.protocol.consumer import OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse
from tenacity import Retrying, retry_if_exception_type, retry_if_not_exception_type, stop_after_delay, wait_fixed

from market_pulse.kafka_login import Login, RefusedError, explained
from market_pulse.topic import Topic, connect

# For how long, and how often, a broker that restarts is asked: here and by the query.
PATIENCE_SECONDS = 30
PAUSE_SECONDS = 1
_A_CONSUMER = -1


class Reached(NamedTuple):
    """Up to which offset a partition is stored, and the epoch its leader was in when that was read, if it is known."""

    next_offset: int
    leader_epoch: int | None


class LogWatch:
    """Asks the brokers about the logs of a topic, over one session; a broker that restarts is waited for."""

    def __init__(self, login: Login, topic: Topic) -> None:
        """Begin with the topic as it is now, and no session: the first question opens it."""
        self.topic = topic
        self._login = login
        self._admin: KafkaAdminClient | None = None

    def leader_epochs(self, partitions: Collection[int]) -> dict[int, int | None]:
        """Return the epoch that each of these partitions is led in.

        Raises:
            RefusedError: the broker does not let it in, or not see the topic.
            kafka.errors.KafkaError: no broker answers.
        """
        asked = {TopicPartition(self.topic.name, partition): OffsetSpec.LATEST for partition in partitions}
        for attempt in self._patiently():
            with attempt, explained(self._login):
                latest = self._session().list_partition_offsets(asked)
        return {place.partition: found.leader_epoch for place, found in latest.items()}

    def truncated(self, reached: Mapping[int, Reached], now: Mapping[int, int | None]) -> dict[int, int]:
        """Return, for each partition whose log lost records below its stored position, the first offset that it lost.

        Args:
            reached: the stored positions.
            now: what `leader_epochs` says of the same partitions; one whose leader is still the same has lost nothing.

        Raises:
            RefusedError: the broker does not let it in, or not see the topic.
            kafka.errors.KafkaError: no broker answers.
        """
        doubtful = {
            partition: before.leader_epoch
            for partition, before in reached.items()
            if before.leader_epoch is not None and before.leader_epoch != now.get(partition)
        }
        if not doubtful:
            return {}
        for attempt in self._patiently():
            with attempt, explained(self._login):
                ends = _ends_of_epochs(self._session(), self.topic.name, doubtful)
        return {partition: end for partition, end in ends.items() if end < reached[partition].next_offset}

    def close(self) -> None:
        """End the session."""
        if self._admin is not None:
            self._admin.close()
            self._admin = None

    def _session(self) -> KafkaAdminClient:
        if self._admin is None:
            self._admin = connect(self._login)
        return self._admin

    def _patiently(self) -> Retrying:
        return Retrying(
            retry=retry_if_exception_type(KafkaError) & retry_if_not_exception_type(RefusedError),
            stop=stop_after_delay(PATIENCE_SECONDS),
            wait=wait_fixed(PAUSE_SECONDS),
            reraise=True,
        )


def _ends_of_epochs(admin: KafkaAdminClient, topic: str, epochs: Mapping[int, int]) -> dict[int, int]:
    """Return where, in the log that its leader has now, each partition's epoch ended, or the last one before it."""

    async def ask() -> dict[int, int]:
        places = {TopicPartition(topic, partition) for partition in epochs}
        ends = {}
        for leader, led in (await admin._async_get_leader_for_partitions(places)).items():  # noqa: SLF001
            request = _request(topic, {place.partition: epochs[place.partition] for place in led})
            ends.update(_answer(await admin._manager.send(request, node_id=leader)))  # noqa: SLF001
        return ends

    # kafka-python asks this for its own consumer's positions alone (KIP-320), and has no public way to.
    found: dict[int, int] = admin._manager.run(ask)  # noqa: SLF001
    return found


def _request(topic: str, epochs: Mapping[int, int]) -> OffsetForLeaderEpochRequest:
    of_topic = OffsetForLeaderEpochRequest.OffsetForLeaderTopic
    partitions = [
        of_topic.OffsetForLeaderPartition(partition=partition, leader_epoch=epoch)
        for partition, epoch in epochs.items()
    ]
    return OffsetForLeaderEpochRequest(replica_id=_A_CONSUMER, topics=[of_topic(topic=topic, partitions=partitions)])


def _answer(response: OffsetForLeaderEpochResponse) -> dict[int, int]:
    ends = {}
    for topic in response.topics:
        for found in topic.partitions:
            if found.error_code:
                raise for_code(found.error_code)(f"{topic.topic} partition {found.partition}")
            # -1: the log has nothing of that epoch, nor of one before it.
            ends[found.partition] = max(found.end_offset, 0)
    return ends
