"""What `market-pulse status` prints of its findings and facts, for people and for programs."""

import io
import json
from dataclasses import replace
from datetime import timedelta

import pytest

from market_pulse.cli import render
from market_pulse.cli.facts import Facts
from market_pulse.cli.report import assess
from support.status_facts import CONSUMER, FULL, IBM, WELL, polled


def shown(facts: Facts) -> str:
    out = io.StringIO()
    render.as_tables(assess(facts), out)
    return out.getvalue()


def test_a_symbol_without_any_bar_is_on_the_screen() -> None:
    text = shown(replace(WELL, series=()))
    (line,) = [line for line in text.splitlines() if line.startswith("IBM")]
    assert "none" in line


def test_the_screen_shows_every_figure() -> None:
    text = shown(WELL)
    for expected in (
        "well",
        "market-pulse-consumer",
        "IBM",
        "bars stored: 90",
        "lag: 0",
        "7 calls left",
        "92 stored",
        "27 of 30 due, 2 not traded",
        "1 otherwise",
        "360 to come",
        "audit, 2026-01-05",
    ):
        assert expected in text


def test_an_estimate_is_called_one() -> None:
    text = shown(replace(WELL, bars=49_000_000, bars_are_estimated=True))
    assert "bars stored: about 49000000\n" in text


@pytest.mark.parametrize(
    ("facts", "headline"), [(WELL, "market-pulse: well"), (replace(WELL, bars=0), "market-pulse: needs attention")]
)
def test_the_first_line_says_how_it_is(facts: Facts, headline: str) -> None:
    text = shown(facts)
    assert text.startswith(f"{headline} (market time 2026-01-05 15:00 UTC)\n")


def test_a_sentence_stays_on_its_line_when_nobody_watches() -> None:
    sentence = (
        "running: nothing waits, 123456 records stored since the start, batch 1234, and so it has been for a while"
    )
    text = shown(replace(WELL, units=(replace(CONSUMER, sentence=sentence),)))
    assert sentence in text


def test_json_holds_the_level_the_findings_and_the_facts() -> None:
    out = io.StringIO()
    render.as_json(assess(replace(WELL, bars=0)), out)
    document = json.loads(out.getvalue())
    assert document["level"] == 1
    assert document["findings"] == [{"level": 1, "sentence": "no bar is stored yet", "key": "bars", "of_host": False}]
    assert document["facts"]["series"][0]["symbol"] == "IBM"
    assert document["facts"]["partitions"][0] == {"partition": 0, "end_offset": 60, "next_offset": 60, "held": None}


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        (
            replace(WELL, host=FULL),
            "host: 86% of /var/log used, 1.0 GiB of memory available, certificates until 2027-02-09",
        ),
        (polled(MSFT=IBM.bar_time + timedelta(minutes=9)), "lag: 1 records, at most 0:09:00 of market time"),
    ],
)
def test_figures_of_the_host_and_of_lag_have_a_line(facts: Facts, line: str) -> None:
    assert line in shown(facts).splitlines()
