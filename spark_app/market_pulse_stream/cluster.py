"""The Spark cluster as a driver finds it when it starts: a master that takes it, and an executor."""

from pyspark.sql import SparkSession
from tenacity import RetryError, Retrying, TryAgain, retry_if_exception_type, stop_after_delay, wait_fixed

from market_pulse.errors import ClusterError
from market_pulse.probes.spark import master_page

_MASTER_SECONDS = 90
_EXECUTOR_SECONDS = 60


def session(master_port: int | None) -> SparkSession:
    """Return a session whose work is done.

    A master that knows an older driver at this one's address, because it is coming back itself or has not heard of that
    one's end, tells this one that it is registered and forgets it (Spark 4.2.0, Master.registerApplication). The first
    is waited for, where its page on this host's `master_port` tells; after the second a new start is taken, for the end
    of this one ends the older one, too.

    Raises:
        ClusterError: the master is not ready, or gives no executor.
    """
    if master_port is not None:
        _await_master(master_port)
    spark = SparkSession.builder.appName("market-pulse").getOrCreate()
    # Without a cluster the driver does the work.
    if not str(spark.sparkContext.master).startswith("local"):
        _await_executor(spark)
    return spark


def _await_master(port: int) -> None:
    state = ""
    try:
        for attempt in _patiently(_MASTER_SECONDS):
            with attempt:
                page = master_page(port)
                state = page if isinstance(page, str) else page.status
                if isinstance(page, str) or not page.leads:
                    raise TryAgain
    except RetryError:
        raise ClusterError(
            f"the Spark master on this host is not ready for {_MASTER_SECONDS} seconds, its page at port {port} tells "
            f"{state}: see systemctl status market-pulse-spark-master"
        ) from None


def _await_executor(spark: SparkSession) -> None:
    # Beside the executors the driver itself is counted; Spark's Python has no such question.
    jvm = spark.sparkContext._jsc.sc()  # noqa: SLF001
    try:
        for attempt in _patiently(_EXECUTOR_SECONDS):
            with attempt:
                if jvm.getExecutorMemoryStatus().size() < 2:  # noqa: PLR2004 - see above
                    raise TryAgain
    except RetryError:
        raise ClusterError(
            f"no Spark worker has run an executor for this driver within {_EXECUTOR_SECONDS} seconds: see systemctl "
            "status market-pulse-spark-worker"
        ) from None


def _patiently(seconds: int) -> Retrying:
    return Retrying(retry=retry_if_exception_type(TryAgain), stop=stop_after_delay(seconds), wait=wait_fixed(0.5))
