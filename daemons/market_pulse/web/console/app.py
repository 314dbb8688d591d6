"""The Kafka page as an application: what `inspect` finds, and how far the database is behind."""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import APIRouter, FastAPI, HTTPException, Path, Query
from kafka import KafkaAdminClient, TopicPartition
from kafka.errors import KafkaError
from starlette.staticfiles import StaticFiles

from market_pulse.kafka_login import RefusedError, refusal
from market_pulse.topic import connect
from market_pulse.web import database
from market_pulse.web.app import STATIC, page, shared
from market_pulse.web.bars import Lag, lags
from market_pulse.web.console import inspect
from market_pulse.web.console.inspect import MOST_RECORDS, Cluster, Record, Setting
from market_pulse.web.sessions import AwayError, Database
from market_pulse.web.settings import WebSettings

Result = TypeVar("Result")
_LAST_OFFSET = 2**63 - 1
TopicName = Annotated[str, Path(pattern=r"^[a-zA-Z0-9._-]{1,249}$", examples=["market.bars"])]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Kafka, and beside it Spark: it commits no offsets, so how far it is stands in the database.

    `bars` is the topic of the bars; `database` is why its positions are not known, None where they are.
    """

    bars: str
    cluster: Cluster
    consumer: list[Lag]
    database: str | None


class Kafka:
    """One admin client, in a thread of its own, made anew after an error."""

    def __init__(self, settings: WebSettings) -> None:
        """Connect when something is asked."""
        self._settings = settings
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="kafka-page")
        self._admin: KafkaAdminClient | None = None
        self._waiting = 0

    async def ask(self, question: Callable[[KafkaAdminClient], Result]) -> Result:
        """Return what a function that takes an admin client returns.

        Raises:
            HTTPException: Kafka does not answer, refuses, or is asked too much.
        """
        if self._waiting >= MOST_RECORDS:
            raise HTTPException(503, "Kafka is asked more than it answers; try again in a moment")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._ask, question)
        except RefusedError as error:
            raise HTTPException(403, str(error)) from error
        except KafkaError as error:
            if said := refusal(self._settings.kafka, error):
                raise HTTPException(403, said) from error
            raise HTTPException(503, f"no answer from Kafka: {error or type(error).__name__}") from error
        finally:
            self._waiting -= 1

    def _ask(self, question: Callable[[KafkaAdminClient], Result]) -> Result:
        try:
            if self._admin is None:
                self._admin = connect(self._settings.kafka)
            return question(self._admin)
        except KafkaError:
            if self._admin is not None:
                with contextlib.suppress(KafkaError):
                    self._admin.close()
            self._admin = None
            raise


def application(settings: WebSettings, questions: Database) -> FastAPI:
    """Return the application of the Kafka page."""
    kafka = Kafka(settings)
    app = FastAPI(
        title="market-pulse: Kafka",
        description="Topics, offsets, configuration, records and lag, read-only.",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        routes=[page("kafka.html"), *shared()],
    )
    app.include_router(_router(settings, questions, kafka))
    app.mount("/static", StaticFiles(directory=STATIC))
    return app


def _router(settings: WebSettings, questions: Database, kafka: Kafka) -> APIRouter:
    routes = APIRouter(
        prefix="/api",
        responses={
            403: {"description": "Kafka lets the page not do this."},
            404: {"description": "There is no such topic or partition."},
            503: {"description": "Kafka does not answer; try again."},
        },
    )

    @routes.get("/cluster")
    async def cluster() -> Overview:
        """Return brokers, topics with their offsets, groups, and how far the consumer is."""
        found = await kafka.ask(inspect.cluster)
        bars = [topic for topic in found.topics if topic.name == settings.topic]
        if not bars:
            return Overview(bars=settings.topic, cluster=found, consumer=[], database=None)
        try:
            positions = await questions.ask(database.positions, bars[0].id)
        except AwayError as error:
            return Overview(bars=settings.topic, cluster=found, consumer=[], database=str(error))
        ends = {item.partition: item.end for item in bars[0].partitions}
        return Overview(bars=settings.topic, cluster=found, consumer=lags(ends, positions), database=None)

    @routes.get("/topics/{topic}/configuration")
    async def configuration(topic: TopicName) -> list[Setting]:
        """Return the configuration of a topic."""
        await existing(topic, None)
        return await kafka.ask(lambda admin: inspect.settings(admin, topic))

    @routes.get("/topics/{topic}/partitions/{partition}/records")
    async def records(
        topic: TopicName,
        partition: Annotated[int, Path(ge=0, le=100_000)],
        offset: Annotated[int | None, Query(ge=0, le=_LAST_OFFSET)] = None,
        limit: Annotated[int, Query(ge=1, le=MOST_RECORDS)] = 20,
    ) -> list[Record]:
        """Return records from an offset on, or the newest ones, oldest first; bars and answers are decoded."""
        await existing(topic, partition)
        place, are_bars = TopicPartition(topic, partition), topic == settings.topic
        return await kafka.ask(lambda _: inspect.records(settings.kafka, place, offset, limit, are_bars=are_bars))

    async def existing(topic: str, partition: int | None) -> None:
        found = await kafka.ask(lambda admin: admin.describe_topics([topic]))
        indexes = [item["partition_index"] for item in found[0]["partitions"]] if found else []
        if not indexes or (partition is not None and partition not in indexes):
            raise HTTPException(404, f"there is no such partition; {topic} has {len(indexes)}")

    return routes
