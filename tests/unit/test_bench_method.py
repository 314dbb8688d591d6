from dataclasses import replace

import pytest

from bench.method import Delay, Pair, Rate, delay, in_turn, percentile, rewrites, summary
from bench.tables import merged, read_table, regressions, table

_ROW = Rate("fresh", "raw upsert", 100_000, 50.0, 100.0, 0.5, 0.4, 0.6, 0, "2026-11-27")
# Ours twice as fast, and each time the machine another one.
_PAIRS = [Pair(ours=seconds, other=2 * seconds) for seconds in (1.0, 1.8, 1.0, 1.2, 1.1)]


def test_the_ratio_is_the_median_of_the_pairs_own_and_not_that_of_the_medians() -> None:
    # Each of the medians is 2 seconds, and yet ours was mostly slower.
    pairs = [Pair(2, 1), Pair(3, 2), Pair(1, 4), Pair(4, 3), Pair(1, 2)]
    row = summary(("fresh", "other"), 1_000, pairs, rewritten=0, day="2026-11-27")
    assert (row.ratio, row.low, row.high) == (0.75, 0.5, 4.0)
    assert row.our_rate == row.other_rate == 0.5


def test_a_machine_that_drifts_does_not_matter() -> None:
    row = summary(("fresh", "other"), 1_000, _PAIRS, rewritten=0, day="2026-11-27")
    assert (row.ratio, row.low, row.high) == (2.0, 2.0, 2.0)


def test_who_runs_first_alternates() -> None:
    ran: list[str] = []

    def runner(name: str) -> str:
        ran.append(name)
        return name

    assert [in_turn(number, lambda: runner("ours"), lambda: runner("other")) for number in range(3)] == [
        ("ours", "other")
    ] * 3
    assert ran == ["ours", "other", "other", "ours", "ours", "other"]


def test_four_pairs_are_no_comparison() -> None:
    with pytest.raises(ValueError, match="at least 5"):
        summary(("fresh", "other"), 1_000, _PAIRS[:4], rewritten=0, day="2026-11-27")


def test_a_table_is_read_as_it_was_written_wherever_it_stands() -> None:
    rows = [_ROW, replace(_ROW, load="again", rewritten=3)]
    assert read_table(Rate, f"# A page\n\n{table(Rate, rows)}\nand more\n| of | other |\n") == rows


def test_a_page_without_a_table_has_no_rows() -> None:
    assert read_table(Rate, "# A page\n") == []


def test_new_rows_take_the_places_of_old_ones() -> None:
    old = [_ROW, replace(_ROW, load="again")]
    new = [replace(_ROW, load="again", ratio=0.7), replace(_ROW, other="Flink")]
    assert merged(old, new) == [_ROW, *new]


@pytest.mark.parametrize(("ratio", "is_told"), [(0.41, False), (0.39, True), (2.0, False)])
def test_a_ratio_that_is_a_fifth_worse_is_told(ratio: float, is_told: bool) -> None:  # noqa: FBT001 - a case
    sentences = regressions([_ROW], [replace(_ROW, ratio=ratio, day="2026-12-01")])
    assert bool(sentences) is is_told


def test_it_says_what_it_was_before() -> None:
    assert regressions([_ROW], [replace(_ROW, ratio=0.1)]) == [
        "fresh against raw upsert: 0.10, after 0.50 on 2026-11-27"
    ]


def test_what_was_never_compared_before_is_no_regression() -> None:
    assert regressions([_ROW], [replace(_ROW, other="Flink", ratio=0.01)]) == []


def test_rows_that_were_rewritten_though_nothing_changed_are_told() -> None:
    assert rewrites([_ROW, replace(_ROW, load="again", rewritten=3)]) == [
        "again: 3 rows rewritten that had not changed"
    ]


def test_a_percentile_is_one_of_the_values() -> None:
    assert [percentile([3, 1, 2], part) for part in (1, 33, 34, 50, 99, 100)] == [1, 1, 2, 2, 3, 3]


def test_the_delays_of_all_pairs_are_one_row_and_its_ratio_is_that_of_the_slowest_bars() -> None:
    pairs = [([10.0] * 98 + [last] * 2, [20.0] * 98 + [3 * last] * 2) for last in (50.0, 60.0, 70.0, 80.0, 90.0)]
    row = delay(("100/s", "Flink"), pairs, "2026-11-27")
    assert (row.our_median, row.our_p99, row.other_median, row.other_p99) == (10, 70, 20, 210)
    assert (row.ratio, row.low, row.high) == (3, 3, 3)
    assert read_table(Delay, table(Delay, [row])) == [row]


def test_two_tables_on_a_page_do_not_take_each_others_rows() -> None:
    late = Delay("100/s", "Flink", 1, 2, 3, 4, 5, 6, 2, 1, 3, "2026-11-27")
    text = table(Rate, [_ROW]) + "\n" + table(Delay, [late])
    assert (read_table(Rate, text), read_table(Delay, text)) == ([_ROW], [late])
