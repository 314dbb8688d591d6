"""The pages in a real browser: live within seconds, without a hole after a kill, legible and usable by everybody.

`MARKET_PULSE_SCREENSHOTS=docs/images` keeps the pictures that are made of each page; otherwise they are in pytest's own
directory.
"""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from integration.services.broker import Broker
from integration.services.database import Database
from integration.services.web import NOW, OPENING, Pipeline, Web, web
from support.browser import LIVE_SECONDS, PHONE, SCREEN, drawn, opened, settle, shown_times
from support.repository import ROOT
from support.waiting import PATIENCE, eventually

SYMBOLS = ["AAPL", "AMZN", "GOOGL", "IBM", "MSFT", "NVDA"]
PAGES = ["chart", "compare", "feed", "kafka"]
SIZES = {"": SCREEN, "-phone": PHONE}


@pytest.fixture
def pipeline(broker: Broker, database: Database) -> Iterator[Pipeline]:
    """A morning of the simulator's market, of which the last ten minutes are not stored yet."""
    made = Pipeline(broker, database, broker.create_topic(12, name="market.bars"))
    made.plan()
    for until in (NOW - timedelta(minutes=10), NOW):
        told = [bar for symbol in SYMBOLS for bar in made.market(symbol, until)]
        made.tell(*(bar for bar in told if until < NOW or bar.bar_time >= NOW - timedelta(minutes=11)))
        if until < NOW:
            made.store()
    database.query(
        "INSERT INTO market.completeness SELECT symbol, '1min', '2026-05-18', 390, 49, 0, 0, 0, 0, 0, 0, 341, 0, 0"
        " FROM market.latest_bar"
    )
    yield made
    broker.delete_topic(made.topic)


@pytest.fixture
def pages(pipeline: Pipeline, tmp_path: Path) -> Iterator[Web]:
    made = web(pipeline, tmp_path / "web")
    with made.daemon.running():
        yield made


def test_a_bar_is_on_the_chart_within_seconds(pipeline: Pipeline, pages: Web, browser: Browser) -> None:
    page = opened(browser, f"{pages.address}/#chart/IBM")
    settle(page, 300)
    minute = (NOW - OPENING) // timedelta(minutes=1)
    for number in range(minute, minute + 3):
        told = pipeline.bar("IBM", number)
        pipeline.tell(told)
        last, patience = f"{told.bar_time:%Y-%m-%dT%H:%M:%SZ}", LIVE_SECONDS * 1000 * PATIENCE
        expect(page.locator("#chart")).to_have_attribute("data-last", last, timeout=patience)
        expect(page.locator("#last")).to_have_text(f"{float(told.close):.2f}")
        expect(page.locator("#watch a[aria-current] span").nth(1)).to_have_text(f"{float(told.close):.2f}")
    assert page.said == []  # type: ignore[attr-defined]
    page.context.close()


def test_after_a_kill_and_a_return_the_chart_has_no_hole(pipeline: Pipeline, pages: Web, browser: Browser) -> None:
    page = opened(browser, f"{pages.address}/#chart/IBM")
    # The newest that are stored, and those that are not yet.
    before = 510
    settle(page, before)
    minute = (NOW - OPENING) // timedelta(minutes=1)
    pipeline.tell(pipeline.bar("IBM", minute))
    pages.kill()
    expect(page.locator("#channel")).to_have_attribute("data-state", "away")
    pipeline.tell(*(pipeline.bar("IBM", minute + more) for more in (1, 2, 3)))
    pipeline.store()
    pipeline.tell(pipeline.bar("IBM", minute + 4))
    pages.daemon.start()
    pages.daemon.wait_until_ready()
    eventually(
        lambda: drawn(page) == before + 5,
        within=20,
        what="every bar is on the chart",
    )
    expect(page.locator("#channel")).to_have_text("live")
    local = [NOW + timedelta(minutes=more) - timedelta(hours=4) for more in range(-10, 5)]
    wanted = [f"{time:%Y-%m-%d %H:%M}" for time in local]
    assert [time for time in shown_times(page) if time >= wanted[0]] == wanted
    page.context.close()


def test_a_chart_that_was_asked_for_while_the_database_was_away_comes_by_itself(
    pipeline: Pipeline, pages: Web, browser: Browser
) -> None:
    page = opened(browser, f"{pages.address}/#chart/IBM")
    settle(page, 500)
    with pipeline.database.shut_out("web"):
        page.locator("#watch a", has_text="MSFT").click()
        expect(page.locator("#channel")).to_contain_text("no answer from the database", timeout=15_000)
    settle(page, 500)
    expect(page.locator("#channel")).to_have_text("live")
    page.context.close()


def test_older_bars_come_when_the_chart_is_moved(pipeline: Pipeline, pages: Web, browser: Browser) -> None:
    del pipeline
    page = opened(browser, f"{pages.address}/#chart/IBM")
    settle(page, 500)
    box = page.locator("#chart").bounding_box()
    assert box is not None

    def moved() -> bool:
        page.mouse.move(box["x"] + 100, box["y"] + 100)
        page.mouse.down()
        page.mouse.move(box["x"] + 700, box["y"] + 100, steps=4)
        page.mouse.up()
        return drawn(page) > 800

    eventually(moved, within=20, what="history has come")
    page.context.close()


def test_it_is_used_by_keyboard_alone(pipeline: Pipeline, pages: Web, browser: Browser) -> None:
    del pipeline
    page = opened(browser, f"{pages.address}/#chart/IBM")
    settle(page, 300)
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_text("Skip to the content")
    page.locator("#watch a", has_text="MSFT").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#symbol")).to_have_text("MSFT")
    expect(page.locator("#watch a[aria-current]")).to_contain_text("MSFT")
    page.locator("#wanted").focus()
    page.keyboard.type("nosuch")
    page.keyboard.press("Enter")
    expect(page.locator("#watch-note")).to_have_text("NOSUCH has no bars here.")
    page.get_by_role("button", name="Take NVDA off the watch list").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#watch li")).to_have_count(len(SYMBOLS) - 1)
    page.reload()
    expect(page.locator("#watch li")).to_have_count(len(SYMBOLS) - 1)
    page.context.close()


def test_the_feed_page_says_when_the_database_is_away(pipeline: Pipeline, pages: Web, browser: Browser) -> None:
    page = opened(browser, f"{pages.address}/#feed")
    expect(page.locator("#verdict")).to_contain_text("Bars come as they should.", timeout=15_000)
    with pipeline.database.shut_out("web"):
        expect(page.locator("#verdict")).to_contain_text("Down. no answer from the database", timeout=15_000)
    expect(page.locator("#verdict")).to_contain_text("Bars come as they should.", timeout=15_000)
    page.context.close()


def ready(page: Page, name: str) -> None:
    """Wait until a page shows what it is for."""
    if name == "chart":
        settle(page, 300)
        expect(page.locator("#watch li .up, #watch li .down")).to_have_count(len(SYMBOLS))
    elif name == "compare":
        expect(page.locator("#compare-rows tr")).to_have_count(3)
    elif name == "feed":
        expect(page.locator("#completeness td")).to_have_count(6)
    else:
        expect(page.locator("#records tr").nth(19)).to_be_visible()
    expect(page.locator("#channel")).to_have_attribute("data-state", "live")


def test_every_page_is_legible_and_accessible(pipeline: Pipeline, pages: Web, browser: Browser, tmp_path: Path) -> None:
    kept = os.environ.get("MARKET_PULSE_SCREENSHOTS")
    folder = ROOT / kept if kept else tmp_path
    del pipeline
    for name in PAGES:
        address = (
            pages.kafka_address if name == "kafka" else f"{pages.address}/#{name}" + ("/IBM" if name == "chart" else "")
        )
        for scheme in ("light", "dark"):
            for suffix, size in SIZES.items():
                page = opened(browser, address, size, scheme)
                ready(page, name)
                page.screenshot(path=folder / f"{name}-{scheme}{suffix}.png")
                found = Axe().run(page, options={"resultTypes": ["violations"]})
                assert found.violations_count == 0, f"{name} {scheme}{suffix}: {found.generate_report()}"
                width = page.evaluate("document.documentElement.scrollWidth")
                assert width <= size[0], f"{name}{suffix} is wider than the screen: {width}"
                assert page.said == [], f"{name}: {page.said}"  # type: ignore[attr-defined]
                page.context.close()
