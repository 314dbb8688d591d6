"""What lies in the future, by whose clock: of the telling, of the topic, or of a replay."""

from datetime import UTC, datetime, timedelta

from market_pulse.contract import Reason, Rejection, decode, encode
from support.good_records import ANSWER, GOOD, wire, with_fields


def test_a_telling_from_the_future_is_refused_for_it_would_stand_against_every_later_one() -> None:
    for late in (datetime(9999, 12, 31, tzinfo=UTC), GOOD.fetched_at + timedelta(seconds=61)):
        rejection = decode(b"BRK.B", encode(with_fields(fetched_at=late)), GOOD.fetched_at)
        assert isinstance(rejection, Rejection)
        assert rejection.reason is Reason.FUTURE_TELLING
    answer = decode(b"BRK.B", encode(ANSWER), ANSWER.fetched_at - timedelta(hours=1))
    assert isinstance(answer, Rejection)


def test_clocks_of_two_hosts_may_differ_by_seconds() -> None:
    late = with_fields(fetched_at=GOOD.fetched_at + timedelta(seconds=5))
    assert decode(b"BRK.B", encode(late), GOOD.fetched_at) == late
    ahead = with_fields(bar_time=GOOD.fetched_at + timedelta(seconds=5))
    assert decode(b"BRK.B", encode(ahead), GOOD.fetched_at) == ahead


def test_at_a_replay_the_future_is_what_lies_ahead_of_the_replay() -> None:
    hour = timedelta(hours=1)
    early = with_fields(bar_time=GOOD.fetched_at + hour)
    late = with_fields(fetched_at=GOOD.fetched_at + hour)
    for told, reason in ((early, Reason.FUTURE_BAR), (late, Reason.FUTURE_TELLING)):
        for replayed_at in (None, GOOD.fetched_at + hour / 2):
            refused = decode(b"BRK.B", encode(told), GOOD.fetched_at, replayed_at)
            assert isinstance(refused, Rejection)
            assert refused.reason is reason
        assert decode(b"BRK.B", encode(told), GOOD.fetched_at, GOOD.fetched_at + hour) == told
    # That it came onto the topic late makes no bar true that was told before it began.
    assert decode(b"BRK.B", encode(early), GOOD.fetched_at + hour) != early


def test_the_last_minute_of_the_calendar_is_a_time_like_any_other() -> None:
    assert decode(b"BRK.B", wire(), datetime.max.replace(tzinfo=UTC)) == GOOD
