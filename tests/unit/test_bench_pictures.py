"""What the pictures of the page show."""

from bench.cost import Batch, Cost
from bench.method import Rate
from bench.pictures import curves, ratios


def test_a_curve_has_what_was_measured_and_what_the_cost_says() -> None:
    cost = Cost(batch=0.1, partition=0.02, bar={1: 1e-4, 2: 1e-5})
    told = curves([Batch(2, 1, 20_000, 0.4), Batch(1, 6, 20_000, 2.5)], cost)
    assert told["lines"] == [
        {"label": "1 task at a time, 6 partitions", "x": [20_000], "points": [2.5], "line": [2.22]},
        {"label": "2 tasks at a time, 1 partition", "x": [20_000], "points": [0.4], "line": [0.32]},
    ]


def test_the_ratios_of_fresh_bars_come_first_the_worst_at_the_top() -> None:
    rows = [
        Rate(load, other, 1_000, 1, 1, ratio, ratio / 2, 2 * ratio, 0, "2026-11-28")
        for load, other, ratio in (("again", "a", 0.5), ("fresh", "b", 2.0), ("fresh", "c", 1.0))
    ]
    told = ratios(rows)["rows"]
    assert told == [
        {"label": "c, fresh", "ratio": 1.0, "low": 0.5, "high": 2.0},
        {"label": "b, fresh", "ratio": 2.0, "low": 1.0, "high": 4.0},
        {"label": "a, again", "ratio": 0.5, "low": 0.25, "high": 1.0},
    ]
