"""What `market-pulse plan` reckons with is what the roles, the units and the schedule say."""

import jinja2
import pytest
from ansible.module_utils.common.text.formatters import human_to_bytes

from consistency.test_units import unit_values
from market_pulse import capacity, sizing
from market_pulse.capacity import Market
from market_pulse.contract import Interval
from market_pulse.producer import poller
from market_pulse.simulator import market
from support.repository import group_vars, role_defaults, role_vars

SMALL = sizing.plan(Market(6, Interval.ONE_MINUTE))
# Enough for more cores and partitions than the defaults have.
LARGE = sizing.plan(Market(200_000, Interval.ONE_MINUTE))
ROLES = ("kafka", "spark", "consumer", "postgresql", "producer")


def defaults() -> dict[str, object]:
    """Return every value that an inventory may leave out."""
    found = group_vars("pipeline")
    for role in ROLES:
        found |= role_defaults(role)
    return found


@pytest.mark.parametrize("planned", [SMALL, LARGE], ids=["small", "large"])
def test_memory_is_what_the_roles_give_the_units(planned: sizing.Plan) -> None:
    jinja = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701 - numbers, no page
    jinja.filters["human_to_bytes"] = human_to_bytes

    def rendered(role: str, name: str) -> int:
        return int(jinja.from_string(str(role_vars(role)[name])).render(planned.inventory))

    tiers = planned.tiers
    assert tiers["kafka"].memory == rendered("kafka", "_kafka_memory_max")
    assert tiers["spark_master"].memory == rendered("spark", "_spark_master_memory_max")
    assert tiers["spark_worker"].memory == rendered("spark", "_spark_worker_memory_max")
    assert tiers["consumer"].memory == rendered("consumer", "_consumer_memory_max")


@pytest.mark.parametrize(
    ("unit", "mebibytes"),
    [
        ("producer", sizing.PRODUCER_MIB),
        ("auditor", sizing.AUDITOR_MIB),
        ("alerts", sizing.ALERTS_MIB),
        ("upkeep", sizing.NIGHT_JOB_MIB),
        ("backup", sizing.NIGHT_JOB_MIB),
        ("restore-proof", sizing.NIGHT_JOB_MIB),
    ],
)
def test_memory_of_the_other_units_is_what_they_say(unit: str, mebibytes: int) -> None:
    assert [human_to_bytes(value) for value in unit_values(unit, "MemoryMax")] == [mebibytes * sizing.MIB]


def test_a_small_market_is_given_the_defaults() -> None:
    """As is everything that a plan has no opinion of: the defaults are in two places, and this compares them."""
    same = {"512m": 512, "384m": 384, "1g": 1024, "1024m": 1024}
    for name, value in SMALL.inventory.items():
        assert same.get(str(value), value) == same.get(str(defaults()[name]), defaults()[name]), name


def test_the_inventory_has_no_name_of_its_own() -> None:
    assert set(LARGE.inventory) <= set(defaults())


def test_a_large_market_has_a_partition_for_each_task() -> None:
    assert LARGE.inventory["consumer_cores"] > sizing.PARTITIONS
    assert LARGE.inventory["market_pulse_topic_partitions"] >= LARGE.inventory["consumer_cores"]


def test_what_the_plan_knows_of_other_parts_is_true() -> None:
    assert capacity.TRADED_OUTSIDE == market._TRADED_OF_256_OUTSIDE / 256  # noqa: SLF001 - nobody else needs them
    assert capacity.SHORT_ANSWER_REACH == poller._SHORT_ANSWER_REACH  # noqa: SLF001
    assert capacity.ROUND_SECONDS == poller._ROUND_SECONDS  # noqa: SLF001
    archive_timeout = role_vars("postgresql")["_postgresql_settings"]["archive_timeout"]
    assert archive_timeout == f"{capacity.CHECKPOINT_MINUTES}min"
