"""The words of an alert: pure, news in, a title and a body out."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from market_pulse.alerts.decision import News, Told
from market_pulse.cli.finding import Level

_HOW = {Level.WELL: "", Level.ATTENTION: "needs attention: ", Level.DOWN: "down: "}


@dataclass(frozen=True)
class Message:
    """One message, and what its reader knows of each finding once it has arrived; None: that it is over."""

    title: str
    body: str
    tells: Mapping[str, Told | None]

    def known_after(self, told: Mapping[str, Told]) -> dict[str, Told]:
        """Return what a channel knows once it has taken this message."""
        return {key: item for key, item in {**told, **self.tells}.items() if item is not None}


def messages(host: str, told: News, now: datetime) -> list[Message]:
    """Return at most two messages: one about everything that is wrong and new, one about everything that is over."""
    wrong = {**told.begun, **told.lasting}
    made = []
    if wrong:
        lines = [_line(item) for item in told.begun.values()]
        lines += [f"still {_line(item)}" for item in told.lasting.values()]
        title = f"market-pulse on {host}: {_things(len(wrong))} wrong"
        made.append(Message(title, "\n".join([*lines, "", "More: market-pulse status"]), wrong))
    if told.over:
        left = told.still
        lines = [f"over: {item.sentence} (since {_instant(item.since)})" for item in told.over.values()]
        ending = f"{_things(left)} still wrong: market-pulse status" if left else "Nothing else is wrong."
        title = f"market-pulse on {host}: resolved" + ("" if left else ", all is well")
        made.append(Message(title, "\n".join([*lines, "", f"{ending} ({_instant(now)})"]), dict.fromkeys(told.over)))
    return made


def _line(item: Told) -> str:
    return f"{_HOW[item.level]}{item.sentence} (since {_instant(item.since)})"


def _things(number: int) -> str:
    return "1 thing is" if number == 1 else f"{number} things are"


def _instant(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"
