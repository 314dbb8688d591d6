"""The driver's life: the lock, the plan, the query, and how it ends.

SIGTERM ends the JVM, and with it this process: what a task had not committed is rolled back, and read again next time.
"""

import contextlib
import logging
import sys

import psycopg2
from kafka.errors import KafkaError
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException

from market_pulse import log, progress
from market_pulse.topic import look_up
from market_pulse_stream.cluster import session
from market_pulse_stream.failure import sentence
from market_pulse_stream.postgresql import Database
from market_pulse_stream.report import Report
from market_pulse_stream.settings import ConsumerSettings
from market_pulse_stream.start import OnlyConsumer, resume
from market_pulse_stream.stream import BatchSink, start_query
from market_pulse_stream.truncation import LogWatch
from market_pulse_stream.warmth import keep_warm

_LOOP_SECONDS = 1

_log = logging.getLogger(__name__)


def main() -> None:
    """Store bars until the query ends; an error ends the process with one sentence and exit code 1."""
    log.setup()
    # It tells of every call between the JVM and this process, and tells each error a second time.
    logging.getLogger("py4j").setLevel(logging.CRITICAL)
    try:
        _run(ConsumerSettings.load())
    except (PySparkException, Py4JError, psycopg2.Error, KafkaError) as error:
        _log.critical("stopped: %s", sentence(error))
        sys.exit(1)


def _run(settings: ConsumerSettings) -> None:
    database = Database(
        host=settings.database_host,
        port=settings.database_port,
        name=settings.database_name,
        user=settings.database_user,
        authority=str(settings.database_authority),
    )
    with contextlib.ExitStack() as stack:
        only = OnlyConsumer(database, settings.topic)
        stack.callback(only.release)
        spark = session(settings.spark_master_ui_port)
        report = Report(settings.runtime_directory / progress.NAME)
        # While this process looks where to go on: the first batch finds its processes made.
        keep_warm(spark, report.quiet_seconds)
        topic = look_up(settings.kafka, settings.topic)
        watch = LogWatch(settings.kafka, topic)
        stack.callback(watch.close)
        plan = resume(database, watch)
        for note in plan.notes:
            _log.warning("%s", note)
        sink = BatchSink(database, watch, plan, report, settings.checkpoint)
        query = start_query(spark, settings, sink)
        log.event(_log, logging.INFO, "consumer started", topic=topic.name, id=topic.id, partitions=len(topic.end))
        while not query.awaitTermination(_LOOP_SECONDS):
            only.check(topic.id, sink.reached)
            report.write_if_alive()
