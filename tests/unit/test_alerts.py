"""Who is told what, minute by minute: an operator reads of a thing once when it begins, and once when it is over."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from market_pulse.alerts import state
from market_pulse.alerts.decision import Life, Rules, State, Told, news, observe
from market_pulse.alerts.messages import Message, messages
from market_pulse.alerts.quiet import QuietHours
from market_pulse.cli.finding import Finding, Level

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
NIGHT = QuietHours.read("22:00-07:00 Europe/Berlin")
KAFKA = Finding(Level.DOWN, "Kafka cannot be asked: refused", "Kafka")
DISK = Finding(Level.ATTENTION, "in quarantine: 1 bad_price", "quarantine")


@dataclass
class Watch:
    """Runs of the job, a minute apart, and what each channel has taken."""

    rules: Rules = field(default_factory=lambda: Rules(after=2 * MINUTE))
    now: datetime = NOW
    known: State = field(default_factory=State)
    taken: dict[str, list[Message]] = field(default_factory=lambda: {"a": []})

    def run(self, *found: Finding, away: Sequence[str] = (), all_asked: bool = True, minutes: int = 1) -> list[str]:
        """Look so many times, and return the titles that channel a took, without the words that all have."""
        before = len(self.taken["a"])
        for _ in range(minutes):
            lives = observe(self.known.lives, found, self.now, self.rules, all_asked=all_asked)
            told: dict[str, dict[str, Told]] = {}
            for channel, taken in self.taken.items():
                told[channel] = dict(self.known.told.get(channel, {}))
                for message in messages("h", news(lives, told[channel], self.now, self.rules), self.now):
                    if channel not in away:
                        taken.append(message)
                        told[channel] = message.known_after(told[channel])
            self.known = State(lives, told)
            self.now += MINUTE
        return [message.title.removeprefix("market-pulse on h: ") for message in self.taken["a"][before:]]


ONE = ["1 thing is wrong"]
WELL = ["resolved, all is well"]


def test_a_blip_is_nothing() -> None:
    watch = Watch()
    assert watch.run(KAFKA, minutes=2) + watch.run(minutes=10) == []


def test_what_lasts_is_told_when_it_has_lasted() -> None:
    watch = Watch()
    assert watch.run(KAFKA, minutes=2) == []
    assert watch.run(KAFKA) == ONE
    assert watch.taken["a"][0].body.startswith("down: Kafka cannot be asked: refused (since 2026-01-05 12:00 UTC)\n")


def test_an_outage_of_an_hour_is_one_alert_and_one_resolved() -> None:
    watch = Watch()
    assert watch.run(KAFKA, minutes=60) == ONE
    assert watch.run(minutes=60) == WELL
    assert "over: Kafka cannot be asked: refused (since 2026-01-05 12:00 UTC)" in watch.taken["a"][1].body


def test_two_things_of_one_run_are_one_message() -> None:
    watch = Watch()
    assert watch.run(KAFKA, DISK, minutes=3) == ["2 things are wrong"]
    assert watch.run(DISK, minutes=5) == ["resolved"]
    assert "1 thing is still wrong" in watch.taken["a"][1].body
    assert watch.run(minutes=5) == WELL


def test_a_second_thing_is_told_without_the_first() -> None:
    watch = Watch()
    watch.run(KAFKA, minutes=3)
    assert watch.run(KAFKA, DISK, minutes=3) == ONE
    assert "Kafka" not in watch.taken["a"][1].body


def test_one_begins_as_another_ends() -> None:
    watch = Watch()
    watch.run(KAFKA, minutes=3)
    watch.run(KAFKA, DISK)
    assert watch.run(DISK, minutes=3) == ["1 thing is wrong", "resolved"]


def test_figures_that_change_are_no_news() -> None:
    watch = Watch()
    watch.run(DISK, minutes=3)
    assert watch.run(Finding(Level.ATTENTION, "in quarantine: 2 bad_price", "quarantine"), minutes=30) == []


FULL = Finding(Level.DOWN, "96% of / used", "disk /", of_host=True)
FILLS = Finding(Level.ATTENTION, "71% of / used", "disk /", of_host=True)


def test_what_gets_worse_is_told_again_and_what_gets_better_is_not() -> None:
    watch = Watch()
    assert watch.run(FILLS, minutes=3) == ONE
    assert watch.run(FULL) == ONE
    assert watch.taken["a"][1].body.startswith("down: 96% of / used (since 2026-01-05 12:00 UTC)")
    assert watch.run(FILLS, minutes=10) + watch.run(FULL, minutes=10) == []
    assert watch.run(minutes=5) == WELL


def test_what_gets_worse_at_night_wakes_somebody() -> None:
    watch = Watch(Rules(2 * MINUTE, quiet=NIGHT), datetime(2026, 1, 5, 20, 50, tzinfo=UTC))
    assert watch.run(FILLS, minutes=20) == ONE
    assert watch.run(FULL, minutes=60) == ONE


def test_what_another_host_tells_of_from_now_on_is_forgotten_without_a_word() -> None:
    watch = Watch()
    watch.run(DISK, FULL, minutes=3)
    watch.known = watch.known.without({DISK.key})
    assert watch.run(FULL, minutes=10) == []
    assert watch.run(minutes=5) == WELL
    assert "quarantine" not in watch.taken["a"][1].body


def test_flapping_is_one_alert_until_it_has_stopped() -> None:
    watch = Watch()
    told = [title for _ in range(30) for title in [*watch.run(KAFKA), *watch.run()]]
    assert told == ONE
    assert watch.run(minutes=10) == WELL


def test_who_has_not_looked_for_long_begins_anew() -> None:
    watch = Watch()
    watch.run(KAFKA, minutes=2)
    watch.now += timedelta(hours=1)
    assert watch.run(KAFKA, minutes=2) == []
    assert watch.run(KAFKA) == ONE


def test_what_was_told_before_the_host_was_off_is_not_told_again() -> None:
    watch = Watch()
    watch.run(KAFKA, minutes=3)
    watch.now += timedelta(hours=1)
    assert watch.run(KAFKA, minutes=30) == []
    assert watch.run(minutes=5) == WELL


def test_what_cannot_be_asked_is_not_over() -> None:
    watch = Watch()
    watch.run(DISK, minutes=3)
    down = Finding(Level.DOWN, "PostgreSQL cannot be asked", "PostgreSQL")
    assert watch.run(down, all_asked=False, minutes=30) == ONE
    assert watch.run(DISK, minutes=5) == ["resolved"]
    assert watch.run(minutes=5) == WELL


def test_what_is_not_seen_is_not_told_though_it_may_last() -> None:
    watch = Watch()
    watch.run(DISK)
    assert watch.run(all_asked=False, minutes=30) == []


def test_a_day_later_it_is_told_again() -> None:
    watch = Watch()
    watch.run(KAFKA, minutes=3)
    assert watch.run(KAFKA, minutes=24 * 60 - 1) == []
    assert watch.run(KAFKA) == ONE
    assert watch.taken["a"][1].body.startswith("still down: Kafka")
    assert "(since 2026-01-05 12:00 UTC)" in watch.taken["a"][1].body
    assert watch.run(minutes=5) == WELL


def test_a_channel_that_is_away_is_told_later_and_the_other_not_twice() -> None:
    watch = Watch(taken={"a": [], "b": []})
    watch.run(KAFKA, minutes=10, away=["b"])
    assert (len(watch.taken["a"]), len(watch.taken["b"])) == (1, 0)
    watch.run(KAFKA, minutes=10)
    assert (len(watch.taken["a"]), len(watch.taken["b"])) == (1, 1)
    watch.run(minutes=10, away=["a"])
    assert (len(watch.taken["a"]), len(watch.taken["b"])) == (1, 2)
    assert watch.run() == WELL
    assert len(watch.taken["b"]) == 2


def test_a_channel_that_was_never_told_hears_no_end() -> None:
    watch = Watch()
    watch.run(KAFKA, minutes=10, away=["a"])
    assert watch.run(minutes=10) == []


def test_at_night_only_what_is_down_wakes_anybody() -> None:
    watch = Watch(Rules(2 * MINUTE, quiet=NIGHT), datetime(2026, 1, 5, 22, 0, tzinfo=UTC))
    assert watch.run(DISK, minutes=60) == []
    assert watch.run(DISK, KAFKA, minutes=60) == ONE
    assert watch.run(DISK, minutes=60) == ["resolved"]
    watch.now = datetime(2026, 1, 6, 5, 58, tzinfo=UTC)
    assert watch.run(DISK, minutes=2) == []
    assert watch.run(DISK, minutes=3) == ONE


def test_what_was_told_by_day_and_ends_at_night_is_over_in_the_morning() -> None:
    watch = Watch(Rules(2 * MINUTE, quiet=NIGHT), datetime(2026, 1, 5, 20, 50, tzinfo=UTC))
    assert watch.run(DISK, minutes=10) == ONE
    assert watch.run(minutes=8 * 60) == []
    assert watch.run(minutes=2 * 60) == WELL


def test_a_clock_that_is_set_back_begins_nothing_in_the_future() -> None:
    watch = Watch()
    watch.run(KAFKA, minutes=2)
    watch.now -= timedelta(hours=1)
    assert watch.run(KAFKA, minutes=4) == ONE


def test_without_delay_the_first_sight_is_told() -> None:
    watch = Watch(Rules(timedelta()))
    assert watch.run(KAFKA) == ONE
    assert watch.run() == WELL


@pytest.mark.parametrize(
    ("text", "hour", "is_quiet"),
    [
        ("22:00-07:00 UTC", 22, True),
        ("22:00-07:00 UTC", 6, True),
        ("22:00-07:00 UTC", 7, False),
        ("22:00-07:00 UTC", 12, False),
        ("12:00-13:00 UTC", 12, True),
        ("12:00-13:00 UTC", 13, False),
        ("22:00-07:00 Europe/Berlin", 21, True),
        ("22:00-07:00 America/New_York", 2, False),
    ],
)
def test_quiet_hours(text: str, hour: int, is_quiet: bool) -> None:  # noqa: FBT001
    assert QuietHours.read(text).holds(NOW.replace(hour=hour)) is is_quiet


@pytest.mark.parametrize("text", ["22-07 UTC", "22:00-07:00", "25:00-07:00 UTC", "22:00-07:00 Mars/Base", "a-b ../x"])
def test_no_quiet_hours(text: str) -> None:
    with pytest.raises(ValueError, match=r"22:00|does not exist"):
        QuietHours.read(text)


def test_what_is_remembered_is_read_again(tmp_path: Path) -> None:
    memory = state.Memory(tmp_path, tmp_path)
    assert memory.load() == State()
    known = State({"Kafka": Life(Level.DOWN, "gone", NOW, NOW)}, {"a": {"Kafka": Told(Level.DOWN, "gone", NOW, NOW)}})
    assert memory.save(known)
    assert memory.load() == known
    assert [file.name for file in tmp_path.iterdir()] == [state.NAME]


def test_a_disk_that_takes_no_writes_silences_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "run").mkdir()
    # Whoever writes, root as well, cannot make a file of a folder.
    (tmp_path / "disk" / "alerts.new").mkdir(parents=True)
    memory = state.Memory(tmp_path / "disk", tmp_path / "run")
    first = State({"Kafka": Life(Level.DOWN, "gone", NOW, NOW)}, {})
    assert not memory.save(first)
    assert "remembered until the next boot alone" in caplog.text
    assert memory.load() == first
    (tmp_path / "disk" / "alerts.new").rmdir()
    second = State({"disk /": Life(Level.DOWN, "full", NOW, NOW)}, {})
    assert memory.save(second)
    assert memory.load() == second
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize("content", ["", "{", '{"lives": 3}', '{"lives": {"a": {"level": 7}}}'])
def test_a_memory_that_is_lost_is_said_and_does_not_silence(
    tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / state.NAME).write_text(content)
    assert state.Memory(tmp_path, tmp_path).load() == State()
    assert "state is not ours, begun anew" in caplog.text
