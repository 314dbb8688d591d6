"""What hosts a market needs, and the inventory that says so: from the load of `market_pulse.capacity`. Pure arithmetic.

Memory is what the units may take, as the roles reckon it from the same variables; tests/consistency compares the two.
Sizes are bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from market_pulse.capacity import (
    BACKUP_SHARE,
    CHECKPOINT_MINUTES,
    RECORDS_PER_SECOND,
    SESSIONS_A_YEAR,
    WAL_COMPRESSION,
    Bytes,
    Day,
    Market,
    bytes_of,
    day_of,
)
from market_pulse.errors import OrderError

MIB, GIB, GB = 2**20, 2**30, 10**9

# What the roles have by default, and what the system tests run with: nothing is suggested that is less.
KAFKA_HEAP_MIB = 512
RETENTION_DAYS = 7
TOPIC_GIB = 12
PARTITIONS = 12
DAEMON_MIB = 384
DRIVER_MIB = 512
EXECUTOR_MIB = 512
CORES = 2
SHARED_BUFFERS_MIB = 256
OUTBOX_BARS = 200_000
ARCHIVE_DAYS = 400
BACKUP_KEEP_DAYS = 14
BACKUP_FULL_DAYS = 7
# Beside the heaps, as the roles kafka, spark and consumer add it to their units' MemoryMax.
BESIDE_KAFKA_MIB = 512
BESIDE_MASTER_MIB = 512
BESIDE_WORKER_MIB = 1024
BESIDE_TASK_MIB = 512
BESIDE_DRIVER_MIB = 1024
# MemoryMax of the units that have nothing to set. A night's jobs run one after the other.
PRODUCER_MIB = 512
AUDITOR_MIB = 512
ALERTS_MIB = 512
NIGHT_JOB_MIB = 1024
# PostgreSQL's sessions and the system's own, beside shared_buffers; an assumption.
BESIDE_BUFFERS_MIB = 1024
SYSTEM_MIB = 512

# A day of the consumer's absence is caught up in this time; from there the number of tasks follows.
CATCH_UP_SECONDS = 3_600
# The outbox holds so many hours of the broker's absence; then polling stops, and what it misses is asked for later.
OUTBOX_HOURS = 2
# Each symbol is added to the ends of three indexes and of two tables, and PostgreSQL should find them in its cache.
HOT_PAGES = 5
PAGE = 8_192
# Of a disk, `market-pulse status` calls for attention at 70 % of it.
DISK_SHARE = 0.6
# The upkeep never takes away more.
FEWEST_MONTHS = 2
# One broker's heap serves so many bytes a second; more is far from what a market of all symbols brings, and untried.
KAFKA_BYTES_PER_SECOND = 10**6
# PostgreSQL's own max_wal_size: a checkpoint comes early when so much was written, and then logs whole pages again.
MAX_WAL_GIB = 1
# From so much memory on, tiers on hosts of their own cost less than one large host.
ONE_HOST_BYTES = 32 * GIB


@dataclass(frozen=True)
class Tier:
    """What one tier may take; `cores` are those that are busy when it catches up."""

    memory: int
    cores: int


@dataclass(frozen=True)
class Disks:
    """What lies on disks after a year, or as soon as the oldest of it goes. `backups` is an estimate."""

    kafka: int
    database: int
    backups: int
    archive: int


@dataclass(frozen=True)
class Plan:
    """All of it. `inventory` has the variables by their names there."""

    day: Day
    added: Bytes
    tiers: Mapping[str, Tier]
    disks: Disks
    inventory: Mapping[str, object]

    @property
    def memory(self) -> int:
        """Return what one host for everything needs."""
        return sum(tier.memory for tier in self.tiers.values()) + SYSTEM_MIB * MIB

    @property
    def cores(self) -> int:
        """Return what one host for everything needs: while the sink catches up, the others have little to do."""
        return max(CORES, self.tiers["spark_worker"].cores + self.tiers["postgresql"].cores - CORES)

    @property
    def one_host(self) -> bool:
        """Return whether one host is enough."""
        return self.memory <= ONE_HOST_BYTES


def plan(market: Market, *, database_disk: int | None = None) -> Plan:
    """Return the plan for a market whose database has so many bytes of disk; None for as many as it takes.

    Raises:
        OrderError: the disk does not hold the months that the upkeep leaves in any case.
    """
    if database_disk is not None and database_disk < 1:
        raise OrderError(f"database_disk is {database_disk}: it must be at least 1")
    day, added = day_of(market), bytes_of(market)
    cores = max(CORES, ceil(day.records / CATCH_UP_SECONDS / RECORDS_PER_SECOND))
    partitions = max(market.partitions, PARTITIONS * ceil(cores / PARTITIONS))
    executor = max(EXECUTOR_MIB, EXECUTOR_MIB // CORES * cores)
    heap = KAFKA_HEAP_MIB * max(1, 2 * ceil(added.kafka / _trading_seconds(market) / KAFKA_BYTES_PER_SECOND) - 1)
    buffers = _power_of_two(SHARED_BUFFERS_MIB, market.symbols * HOT_PAGES * PAGE / MIB + SHARED_BUFFERS_MIB / 2)
    months = _months(added.database, database_disk)
    an_hour = day.records / _trading_seconds(market) * 3600
    wal = added.wal * WAL_COMPRESSION * CHECKPOINT_MINUTES * 60 / _trading_seconds(market)
    inventory: dict[str, object] = {
        "market_pulse_vendor_plan": market.plan.value,
        "market_pulse_vendor_calls_per_minute": market.calls_per_minute,
        "market_pulse_interval": market.interval.value,
        "market_pulse_extended_hours": market.extended_hours,
        "market_pulse_topic_partitions": partitions,
        "market_pulse_keep_months": months,
        "market_pulse_backup_keep_days": BACKUP_KEEP_DAYS,
        "market_pulse_backup_full_days": BACKUP_FULL_DAYS,
        "producer_archive_days": ARCHIVE_DAYS,
        "producer_outbox_max_bars": max(OUTBOX_BARS, _round_up(an_hour * OUTBOX_HOURS)),
        "kafka_heap": f"{heap}m",
        "kafka_topic_retention_days": RETENTION_DAYS,
        # Twice what five sessions of a week bring: a long answer after an outage comes on top.
        "kafka_topic_max_gibibytes": max(TOPIC_GIB, ceil(added.kafka * 10 / GIB)),
        "spark_daemon_memory": f"{DAEMON_MIB}m",
        "spark_worker_cores": cores,
        "spark_worker_memory": f"{2 * executor}m",
        "consumer_cores": cores,
        "consumer_driver_memory": f"{DRIVER_MIB}m",
        "consumer_executor_memory": f"{executor}m",
        "postgresql_shared_buffers": f"{buffers}MB",
        # PostgreSQL begins a checkpoint at about half of it.
        "postgresql_settings": {"max_wal_size": f"{ceil(2 * wal / GIB)}GB"} if 2 * wal > MAX_WAL_GIB * GIB else {},
    }
    return Plan(day, added, _tiers(inventory), _disks(added, months), inventory)


def _tiers(inventory: Mapping[str, object]) -> dict[str, Tier]:
    def mib(name: str) -> int:
        return int(str(inventory[name]).rstrip("mMB"))

    cores = int(str(inventory["consumer_cores"]))
    daemon = mib("spark_daemon_memory")
    worker = daemon + mib("spark_worker_memory") + BESIDE_WORKER_MIB + BESIDE_TASK_MIB * cores
    sizes = {
        # With what runs beside it: upkeep, backup, proof and auditor.
        "postgresql": (mib("postgresql_shared_buffers") + BESIDE_BUFFERS_MIB + AUDITOR_MIB + NIGHT_JOB_MIB, cores),
        "kafka": (mib("kafka_heap") + BESIDE_KAFKA_MIB, 1),
        "spark_master": (daemon + BESIDE_MASTER_MIB, 1),
        "spark_worker": (worker, cores),
        "consumer": (mib("consumer_driver_memory") + BESIDE_DRIVER_MIB, 1),
        "producer": (PRODUCER_MIB + ALERTS_MIB, 1),
    }
    return {tier: Tier(memory * MIB, busy) for tier, (memory, busy) in sizes.items()}


def _disks(added: Bytes, months: int) -> Disks:
    month = added.database * SESSIONS_A_YEAR // 12
    # The month that is being written comes on top of those that are kept.
    database = month * min(12, months + 1) if months else month * 12
    # As many full backups as are needed to go back; each night between them, what has changed since is about a month.
    fulls = ceil(BACKUP_KEEP_DAYS / BACKUP_FULL_DAYS) + 1
    nights = BACKUP_KEEP_DAYS + BACKUP_FULL_DAYS - fulls
    weeks = (BACKUP_KEEP_DAYS + BACKUP_FULL_DAYS) / 7
    backups = BACKUP_SHARE * (fulls * database + nights * min(month, database)) + added.wal * 5 * weeks
    archive = added.archive * min(ARCHIVE_DAYS * SESSIONS_A_YEAR // 365, SESSIONS_A_YEAR)
    return Disks(added.kafka * RETENTION_DAYS * 5 // 7, database, round(backups), archive)


def _months(added: int, disk: int | None) -> int:
    if disk is None or added * SESSIONS_A_YEAR <= disk * DISK_SHARE:
        return 0
    month = added * SESSIONS_A_YEAR / 12
    months = int(disk * DISK_SHARE / month) - 1
    if months < FEWEST_MONTHS:
        needed = ceil(month * (FEWEST_MONTHS + 1) / DISK_SHARE / GB)
        raise OrderError(
            f"the database's disk is {disk / GB:g} GB, and a month takes {month / GB:.3g} GB: the upkeep always leaves "
            f"{FEWEST_MONTHS} months beside the one that is written, so give at least {needed} GB"
        )
    return months


def _trading_seconds(market: Market) -> int:
    return max(1, day_of(market).checkpoints) * CHECKPOINT_MINUTES * 60


def _power_of_two(least: int, wanted: float) -> int:
    value = least
    while value < wanted:
        value *= 2
    return value


def _round_up(number: float) -> int:
    return ceil(number / 100_000) * 100_000
