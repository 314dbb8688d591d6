"""The cost of a batch is found again in batches that have it."""

import math
from itertools import product

import pytest

from bench.cost import Batch, Cost, deviations, fit, meaning, table

_COST = Cost(batch=0.1, partition=0.02, bar={1: 5e-5, 2: 3e-5})
_BATCHES = [
    Batch(*size, seconds=_COST.seconds(*size)) for size in product((1, 2), (1, 6, 12), (1_000, 20_000, 500_000))
]


def test_a_cost_is_found_in_batches_that_have_it() -> None:
    found = fit(_BATCHES)
    assert (found.batch, found.partition) == pytest.approx((0.1, 0.02))
    assert found.bar == pytest.approx(_COST.bar)
    assert deviations(found, _BATCHES) == pytest.approx([0] * len(_BATCHES), abs=1e-9)


def test_a_batch_that_takes_longer_than_the_cost_says_is_told_by_its_share() -> None:
    slow = Batch(1, 6, 1_000, seconds=1.25 * _COST.seconds(1, 6, 1_000))
    assert deviations(_COST, [slow]) == pytest.approx([0.25])


def test_batches_grow_with_the_rate_until_more_comes_than_is_stored() -> None:
    assert _COST.steady(2, 5, 0) == pytest.approx(0.2)
    assert _COST.steady(2, 5, 1 / 6e-5) == pytest.approx(0.4)
    assert _COST.steady(2, 5, 1 / 3e-5) == math.inf


def test_the_table_has_a_row_for_each_way_to_run_and_a_column_for_each_size() -> None:
    lines = table(_BATCHES).splitlines()
    assert lines[0] == (
        "| tasks at a time | partitions | 1,000 bars, 1,000/s | 20,000 bars, 1,000/s | 500,000 bars, 1,000/s |"
    )
    assert lines[3] == "| 1 | 6 | 3.7 | 16.4 | 19.8 |"
    assert len(lines) == 2 + 6


def test_it_says_what_that_means_for_those_who_collect_all_symbols() -> None:
    fixed, symbols, trades = meaning(_COST, 6)
    assert "220 ms however small" in fixed
    assert "50 with one. From 7,333 bars on" in fixed
    assert "0.6 s of the minute" in symbols
    assert "0.25 s; a second with 20 times the mean brings what is stored in 2.6" in trades
