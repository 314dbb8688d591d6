"""pgAdmin in a real browser: who gets in, and the entry that is made for an operator."""

import contextlib

from playwright.sync_api import Browser, Locator, Page, expect
from playwright.sync_api import TimeoutError as NotInTime

from support.browser import opened
from support.waiting import PATIENCE, eventually

LOGIN = "operator@market-pulse.internal"
MILLISECONDS = 30_000 * PATIENCE


def at_login(browser: Browser, address: str) -> Page:
    """Open pgAdmin as somebody who was never there."""
    page = opened(browser, address)
    page.set_default_timeout(MILLISECONDS)
    page.wait_for_url("**/login?next=/")
    return page


def log_in(page: Page, password: str) -> None:
    page.locator("input[name=email]").fill(LOGIN)
    page.locator("input[name=password]").fill(password)
    page.locator("button[name=internal_button]").click()


def assert_refused(browser: Browser, address: str, password: str) -> None:
    page = at_login(browser, address)
    log_in(page, password)
    expect(page.get_by_text("Incorrect username or password.")).to_be_visible(timeout=MILLISECONDS)
    assert page.url.endswith("/login")
    page.context.close()


def inside(browser: Browser, address: str, password: str) -> Page:
    """Return the page of an operator who has logged in."""
    page = at_login(browser, address)
    log_in(page, password)
    page.wait_for_url("**/browser/")
    node(page, "market-pulse").wait_for()
    return page


def node(page: Page, name: str) -> Locator:
    """Return a node of the tree."""
    return page.locator(".file-label").get_by_text(name, exact=True).first


def connect(page: Page, entry: str, password: str) -> None:
    """Open the group, of which the only entry then asks for the password of the database's account."""
    dialog = page.locator("[role=dialog]")

    def asked() -> bool:
        # While the page is still being put together, nothing comes of a click; and one may be too late.
        if not dialog.is_visible() and not node(page, entry).is_visible():
            node(page, "market-pulse").dblclick()
        with contextlib.suppress(NotInTime):
            dialog.wait_for(timeout=3000 * PATIENCE)
        return dialog.is_visible()

    eventually(asked, within=30, what="the account's password is asked for")
    expect(dialog).to_contain_text(f"password for the user 'bi_reader' to connect the server - \"{entry}\"")
    dialog.locator("input[type=password]").fill(password)
    dialog.get_by_text("OK", exact=True).click()
