"""The product: the real consumer by the real spark-submit, with every guarantee on, and executors inside its driver."""

import contextlib
from collections.abc import Iterator

from bench.way import Route, Stack, Way, failure_of
from integration.services.consumer import SPEED, consumer
from support.waiting import eventually


@contextlib.contextmanager
def ours(stack: Stack, route: Route, **changed: int) -> Iterator[Way]:
    """Run the consumer with the settings of a deployment, and with changed ones of them."""
    settings = {**SPEED, **changed}
    with consumer(route.directory, stack.broker, route.database, route.topic, **settings) as running:

        def is_reading() -> bool:
            assert running.process.poll() is None, running.log
            return "consumer started" in running.log

        eventually(is_reading, within=120, what="the consumer's start")
        failure = failure_of(running.process, route.directory / "consumer.log")
        yield Way("market-pulse", {name: str(value) for name, value in settings.items()}, failure=failure)
