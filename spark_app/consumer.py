"""What spark-submit runs: the consumer, put together from `market_pulse_stream`."""

import logging
import signal
import sys
from time import monotonic
from types import FrameType

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from market_pulse import log, progress
from market_pulse_stream.failure import sentence
from market_pulse_stream.postgresql import Database
from market_pulse_stream.report import Report
from market_pulse_stream.settings import ConsumerSettings
from market_pulse_stream.start import OnlyConsumer, look_up, resume
from market_pulse_stream.stream import start_query

_LOOP_SECONDS = 1
_LAST_BATCH_SECONDS = 10

_log = logging.getLogger("market_pulse.consumer")


class Consumer:
    """One run, from the lock to the last batch."""

    def __init__(self, settings: ConsumerSettings) -> None:
        """Prepare a run that SIGTERM ends."""
        self._settings = settings
        self.stopping = False
        signal.signal(signal.SIGTERM, self._stop)

    def run(self) -> None:
        """Store bars until told to stop; any error is raised."""
        settings = self._settings
        database = Database(
            settings.database_host, settings.database_port, settings.database_name, settings.database_user
        )
        only = OnlyConsumer(database, settings.topic)
        try:
            topic = look_up(settings.kafka_bootstrap_servers, settings.topic)
            plan = resume(database, topic)
            for note in plan.notes:
                _log.warning("%s", note)
            report = Report(settings.runtime_directory / progress.NAME)
            query = start_query(settings, database, topic, plan, report)
            log.event(_log, logging.INFO, "consumer started", topic=topic.name, id=topic.id, partitions=len(topic.end))
            while not self.stopping and not query.awaitTermination(_LOOP_SECONDS):
                only.check()
                report.write_if_alive()
            if self.stopping:
                _finish(query)
                SparkSession.active().stop()
                log.event(_log, logging.INFO, "consumer stopped", topic=topic.name)
        finally:
            only.release()

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self.stopping = True


def _finish(query: StreamingQuery) -> None:
    """Let the running batch end; one that takes too long is interrupted, which its transaction survives."""
    deadline = monotonic() + _LAST_BATCH_SECONDS
    while query.isActive and query.status["isTriggerActive"] and monotonic() < deadline:
        query.awaitTermination(1)
    query.stop()


def main() -> None:
    """Run the consumer; the exit code is 0 only after an orderly stop."""
    log.setup()
    consumer = Consumer(ConsumerSettings.load())
    try:
        consumer.run()
    except (PySparkException, Py4JError, OSError) as error:
        if consumer.stopping:
            # Told to stop together with the JVM, which was faster; what was open has been rolled back.
            _log.info("stopped with the JVM")
            return
        _log.critical("stopped: %s", sentence(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
