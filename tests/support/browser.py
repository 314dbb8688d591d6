"""A real browser on the pages: what they may load and say, and what is on the chart."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from support.waiting import eventually

# In pixels.
SCREEN, PHONE = (1280, 860), (390, 844)
# What a bar may take from where it is made to the reader's eye.
LIVE_SECONDS = 3
_CHROMIUM = Path("/usr/bin/chromium-headless-shell")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, which `make bootstrap` installs, without a window."""
    with sync_playwright() as playwright:
        # The tests' user is root, for whom Chromium has no sandbox.
        started = playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


def opened(browser: Browser, address: str, size: tuple[int, int] = SCREEN, scheme: str = "light") -> Page:
    """Open a page that may load nothing from elsewhere, say nothing wrong and break nothing of its own policy."""
    factor = 1 if size == SCREEN else 2
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if scheme == "dark" else "light",
        device_scale_factor=factor,
        reduced_motion="reduce",
    )
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: None if "127.0.0.1" in request.url else said.append(f"asked {request.url}"))
    page.said = said  # type: ignore[attr-defined]
    page.goto(address)
    return page


def drawn(page: Page) -> int:
    """Return how many bars are on the chart."""
    return int(page.locator("#chart").get_attribute("data-bars") or 0)


def settle(page: Page, bars: int) -> None:
    """Wait until so many bars are on the chart."""
    eventually(lambda: drawn(page) >= bars, within=15, what=f"{bars} bars are on the chart", every=0.1)


def shown_times(page: Page) -> list[str]:
    """Return the times of the newest bars, oldest first."""
    page.evaluate("document.querySelector('details').open = true")
    return page.locator("#rows td:first-child").all_inner_texts()[::-1]
