"""The pages of a deployed host in a real browser, by the tunnel that the README tells: live, and without a hole."""

import sys
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from statistics import median
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Browser, Page, expect

from support.browser import LIVE_SECONDS, opened, settle, shown_times
from support.repository import group_vars
from support.waiting import PATIENCE, eventually
from system.host import Host
from system.invariants import await_progress
from system.market import clock, market_now

SYMBOL, UNIT = "IBM", "market-pulse-web"
PORT: int = group_vars("pipeline")["market_pulse_ports"]["web"]
_NEW_YORK = ZoneInfo("America/New_York")
MINUTE = timedelta(minutes=1)
BARS = 6
# What the table below the chart says whenever it changes, with the computer's time in milliseconds.
_WATCH = """() => {
  window.told = [];
  document.querySelector("details").open = true;
  const rows = document.querySelector("#rows");
  const cells = () => [...rows.rows].map((row) => [...row.cells].map((cell) => cell.innerText));
  const note = () => window.told.push([Date.now(), cells()]);
  new MutationObserver(note).observe(rows, {childList: true, subtree: true});
}"""
_STORED = f"""
SELECT to_char(bar_time AT TIME ZONE 'America/New_York', 'YYYY-MM-DD HH24:MI') FROM market.bar
WHERE symbol = '{SYMBOL}' AND interval = '1min' ORDER BY bar_time DESC LIMIT 30
"""


@pytest.fixture
def page(host: Host, browser: Browser) -> Iterator[Page]:
    with host.tunnel(PORT) as address:
        page = opened(browser, f"http://{address}/#chart/{SYMBOL}")
        settle(page, 10)
        yield page
        page.context.close()


def test_a_bar_is_on_the_chart_within_seconds_of_its_end(host: Host, page: Page) -> None:
    await_progress(host, within=90)
    market = clock(host)
    page.evaluate(_WATCH)
    # The minute of now began before anybody watched.
    began = market_now(host, market).replace(second=0, microsecond=0) + MINUTE
    late = []
    for start in (began + number * MINUTE for number in range(BARS)):
        until = market.real_seconds(market_now(host, market), start + MINUTE) + 2 * LIVE_SECONDS
        ask = partial(_final, page, f"{start.astimezone(_NEW_YORK):%Y-%m-%d %H:%M}")
        shown = eventually(ask, within=until, what=f"the bar of {start} is on the chart", every=0.2)
        assert shown is not None
        late.append(shown - market.real(start + MINUTE).timestamp())
    sys.stdout.write(f"seconds from a bar's end to the chart: median {median(late):.2f}, longest {max(late):.2f}\n")
    assert min(late) > 0
    assert max(late) <= LIVE_SECONDS * PATIENCE
    assert page.said == []  # type: ignore[attr-defined]


def test_after_a_kill_the_chart_has_no_hole(host: Host, page: Page) -> None:
    before = host.main_pid(UNIT)
    host.run(f"systemctl kill --signal=KILL {UNIT}")
    expect(page.locator("#channel")).to_have_attribute("data-state", "away", timeout=10_000 * PATIENCE)
    host.await_running(UNIT, within=30)
    assert host.main_pid(UNIT) != before
    expect(page.locator("#channel")).to_have_text("live", timeout=30_000 * PATIENCE)
    back = shown_times(page)[-1]
    eventually(lambda: shown_times(page)[-1] > back, within=30, what="it goes on")
    eventually(
        lambda: shown_times(page) == [row[0] for row in host.sql(_STORED)][::-1],
        within=30,
        what="the chart's newest bars are the database's",
    )


def _final(page: Page, label: str) -> float | None:
    """Return when a bar was first shown as final, in seconds since 1970, if it has been."""
    for moment, rows in page.evaluate("window.told"):
        if any((row[0], row[-1]) == (label, "final") for row in rows):
            return float(moment) / 1000
    return None
