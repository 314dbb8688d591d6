from collections import Counter

import pytest

from bench.workload import PARTITIONS, Feed, Kind, Load
from market_pulse.contract import Bar, Rejection, decode

_RECORDS = 6_000


def _table(load: Load) -> dict[tuple[str, object], Bar]:
    """Return what has to be in the table in the end: by key the bar that was told last."""
    found: dict[tuple[str, object], Bar] = {}
    for _, bar in load.bars():
        known = found.get((bar.symbol, bar.bar_time))
        if known is None or known.fetched_at < bar.fetched_at:
            found[bar.symbol, bar.bar_time] = bar
    return found


@pytest.mark.parametrize("kind", Kind)
def test_every_record_is_by_the_contract_what_it_is_meant_to_be(kind: Kind) -> None:
    for sent in Load(kind, _RECORDS, 3).sent():
        found = decode(sent.key, sent.value)
        assert found == sent.bar if sent.bar else isinstance(found, Rejection)


@pytest.mark.parametrize("kind", Kind)
def test_the_expected_rows_are_those_of_the_records(kind: Kind) -> None:
    load = Load(kind, _RECORDS, 3)
    found = _table(load)
    assert len(found) == load.new_rows
    assert sum((bar.fetched_at - bar.bar_time).seconds > 100 for bar in found.values()) == load.revised_rows


def test_of_mixed_records_nine_tenths_are_new_and_one_in_a_thousand_is_no_bar() -> None:
    sent = [*Load(Kind.MIXED, 101_000, 0).sent()][1_000:101_000]
    count = Counter("new" if each.is_new else "no bar" if each.bar is None else "again" for each in sent)
    assert count["no bar"] == 99
    assert 89_000 < count["new"] < 91_000


def test_a_symbol_stays_in_its_partition_and_the_partitions_are_of_a_size() -> None:
    homes: dict[str, set[int]] = {}
    count: Counter[int] = Counter()
    for partition, bar in Load(Kind.MIXED, _RECORDS, 0).bars():
        homes.setdefault(bar.symbol, set()).add(partition)
        count[partition] += 1
    assert all(len(partitions) == 1 for partitions in homes.values())
    assert len(count) == PARTITIONS
    assert max(count.values()) < 1.05 * min(count.values())


def test_each_partition_ends_with_a_bar_of_its_own_that_no_other_round_has() -> None:
    first, second = ([*Load(Kind.AGAIN, 100, number).sent()][-PARTITIONS:] for number in (0, 1))
    assert [sent.partition for sent in first] == [*range(PARTITIONS)]
    assert not {sent.value for sent in first} & {sent.value for sent in second}


def test_bars_that_come_again_are_the_same_to_the_byte() -> None:
    fresh, again = Load(Kind.FRESH, 100, 0).sent(), Load(Kind.AGAIN, 100, 1).sent()
    assert [sent.value for sent in fresh][:100] == [sent.value for sent in again][:100]


def test_a_feed_tells_its_symbols_in_turn_and_knows_which_bars_came_between_two_times() -> None:
    feed = Feed("bars", symbols=3, rate=1, first=7, count=4)
    told = [(sent.bar.symbol, sent.bar.bar_time) for sent in feed.sent() if sent.bar]
    assert [symbol for symbol, _ in told] == feed.names * 4
    before, last = told[1][1], told[7][1]
    assert list(feed.numbers("S0001", before, last)) == [4, 7]
    assert [told[number] for number in feed.numbers("S0001", before, last)] == [told[4], told[7]]
    assert list(feed.numbers("S0001", last, before)) == []
