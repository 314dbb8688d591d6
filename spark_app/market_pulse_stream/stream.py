"""The query: from the topic, batch by batch, into the sink."""

import shutil
from pathlib import Path
from uuid import UUID, uuid4

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import unix_millis
from pyspark.sql.streaming.query import StreamingQuery

from market_pulse.errors import PositionError
from market_pulse.kafka_login import MECHANISM
from market_pulse_stream.arrow import COLUMNS
from market_pulse_stream.positions import ISOLATION_LEVEL, Plan, cut, ends_of_batch
from market_pulse_stream.postgresql import Database
from market_pulse_stream.report import IDLE_REPORT_SECONDS, Report
from market_pulse_stream.settings import ConsumerSettings
from market_pulse_stream.sink import Account
from market_pulse_stream.told_once import ToldOnce
from market_pulse_stream.truncation import PATIENCE_SECONDS, PAUSE_SECONDS, LogWatch, Reached
from market_pulse_stream.writer import ACCOUNT_SCHEMA, PartitionWriter

_RECORD = ["partition", *COLUMNS.names]
# Of what an executor holds at once; Python takes about nine times as much for it.
_PART_BYTES = 8 * 1024**2
# So many records are stored sooner by one task than Spark has started one for each core.
_FEW = 1_000
# A task asks for where the log ends after each fetch, and then for more at once, which waits in vain for so long.
_FETCH_WAIT_MILLISECONDS = 0
# After each look at what it has fetched, Spark asks for the log's ends, which makes the client forget what is left of
# it: a look takes all of one fetch.
_FETCH_BYTES = 4 * 1024**2
_LOOK_RECORDS = _FETCH_BYTES // 64
# Kafka's client asks a node that has died again and again until then; only the next try learns who leads in its place.
_TRY_SECONDS, _REQUEST_SECONDS = 10, 5


class BatchSink:
    """The function for `foreachBatch`: a task for each core, or one for a few records; the ledger is theirs."""

    def __init__(self, database: Database, watch: LogWatch, plan: Plan, report: Report, checkpoint: Path) -> None:
        """Begin a run; batch ids count within it."""
        self._database = database
        self._topic = watch.topic
        self._watch = watch
        self.plan = plan
        self.report = report
        self._reached = {
            partition: Reached(offset, self._topic.leader_epochs.get(partition))
            for partition, offset in plan.next_offset.items()
        }
        # Where Spark notes what a batch is to read, before it runs it.
        self._offsets = checkpoint / "offsets"
        self._run_id: UUID = uuid4()
        self._tasks = ToldOnce(_RECORD, ACCOUNT_SCHEMA)

    @property
    def reached(self) -> dict[int, int]:
        """Up to where each partition is stored."""
        return {partition: reached.next_offset for partition, reached in self._reached.items()}

    def __call__(self, batch: DataFrame, batch_id: int) -> None:
        """Store a batch; any error ends the query.

        Raises:
            PositionError: a log lost records that are stored; the next start says so, and is held.
        """
        self.report.batch_begins()
        ends = ends_of_batch((self._offsets / str(batch_id)).read_text(encoding="utf-8"), self._topic.name)
        # Before anything is read: no record of the batch is of a later epoch, unless its log was cut meanwhile.
        leader_epochs = self._watch.leader_epochs(ends)
        if truncated := self._watch.truncated(self._reached, leader_epochs):
            lost = {partition: range(end, self._reached[partition].next_offset) for partition, end in truncated.items()}
            raise PositionError("; ".join(cut(self._topic.name, *item) for item in lost.items()))
        begin = self.reached
        read = {partition: range(begin.get(partition, 0), end) for partition, end in ends.items()}
        writer = PartitionWriter(
            self._database, self._run_id, batch_id, self._topic.id, self._topic.name, read, leader_epochs
        )
        # What each task costs is more than what Spark would gain by dealing out the partitions one by one.
        few = sum(map(len, read.values())) <= _FEW
        records = batch.coalesce(1 if few else batch.sparkSession.sparkContext.defaultParallelism)
        rows = self._tasks.collect(records, writer)
        accounts = [Account(**row.asDict()) for row in rows]
        self.report.batch_ends(batch_id, [*accounts, *writer.store_rest(accounts)])
        self._reached = {partition: Reached(end, leader_epochs[partition]) for partition, end in ends.items()}


def start_query(spark: SparkSession, settings: ConsumerSettings, sink: BatchSink) -> StreamingQuery:
    """Start reading where the sink's plan says.

    The checkpoint is made anew: PostgreSQL's positions are the truth, so an old, lost or damaged one cannot matter.
    """
    _remove(settings.checkpoint)
    spark.conf.set("spark.sql.streaming.noDataProgressEventInterval", IDLE_REPORT_SECONDS * 1000)
    spark.conf.set("spark.sql.streaming.minBatchesToRetain", 2)
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", settings.max_offsets_per_trigger)
    spark.conf.set("spark.sql.execution.arrow.maxBytesPerBatch", _PART_BYTES)
    spark.streams.addListener(sink.report)
    return (
        spark.readStream.format("kafka")
        .options(**_login(settings))
        .option("kafka.isolation.level", ISOLATION_LEVEL)
        .option("kafka.default.api.timeout.ms", _TRY_SECONDS * 1000)
        .option("kafka.request.timeout.ms", _REQUEST_SECONDS * 1000)
        .option("kafka.fetch.max.wait.ms", _FETCH_WAIT_MILLISECONDS)
        .option("kafka.max.partition.fetch.bytes", _FETCH_BYTES)
        .option("kafka.max.poll.records", _LOOK_RECORDS)
        .option("subscribe", settings.topic)
        .option("startingOffsets", sink.plan.starting_offsets(settings.topic))
        .option("failOnDataLoss", "true")
        .option("maxOffsetsPerTrigger", settings.max_offsets_per_trigger)
        .option("fetchOffset.numRetries", PATIENCE_SECONDS // PAUSE_SECONDS)
        .option("fetchOffset.retryIntervalMs", PAUSE_SECONDS * 1000)
        .option("groupIdPrefix", "market-pulse-consumer")
        .load()
        .withColumn("milliseconds", unix_millis("timestamp"))
        .select(_RECORD)
        .writeStream.foreachBatch(sink)
        .option("checkpointLocation", str(settings.checkpoint))
        .trigger(processingTime=f"{settings.trigger_milliseconds} milliseconds")
        .queryName("market-pulse")
        .start()
    )


def _login(settings: ConsumerSettings) -> dict[str, str]:
    """Return the way into Kafka without the password.

    These travel to the executors and are shown on Spark's pages; user and password each JVM has in the file that its
    ``java.security.auth.login.config`` names.
    """
    return {
        "kafka.bootstrap.servers": settings.kafka_bootstrap_servers,
        "kafka.security.protocol": "SASL_SSL",
        "kafka.sasl.mechanism": MECHANISM,
        "kafka.ssl.truststore.type": "PEM",
        "kafka.ssl.truststore.location": str(settings.kafka_authority),
    }


def _remove(checkpoint: Path) -> None:
    if checkpoint.exists():
        shutil.rmtree(checkpoint)
