"""pgAdmin as its unit runs it, in a real browser: one login, the entry that is made for it, and rows of the contract.

`MARKET_PULSE_SCREENSHOTS=docs/images` keeps the picture; otherwise it is in pytest's own directory.
"""

import contextlib
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import trustme
from playwright.sync_api import Browser, expect

from integration.services.database import PASSWORD, Database, Server
from integration.services.pgadmin import ENTRY, PgAdmin, install, pgadmin
from integration.services.records import records, task
from integration.services.web import NOW, Pipeline
from market_pulse.upkeep import calendar
from market_pulse_stream.sink import store
from support.pgadmin_page import LOGIN, MILLISECONDS, assert_refused, connect, inside, node
from support.repository import ROOT
from support.waiting import eventually

FIRST, SECOND = "first-password-of-the-login", "second-password-of-the-login"
BARS = 60
QUERY = "SELECT symbol, ts_exchange, open, high, low, close, volume\nFROM bi.bar ORDER BY ts_utc DESC"
_MODE = "json_extract(connection_params, '$.sslmode')"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("environment"))


@pytest.fixture(scope="module")
def bars(postgresql: Server) -> Database:
    """A database of the deployment's name with an hour of bars."""
    made = postgresql.make_database("market_pulse")
    with contextlib.closing(made.connect("keeper")) as session, session, session.cursor() as cursor:
        calendar.refresh(cursor, "XNYS", NOW)
    with contextlib.closing(made.connect("writer")) as session:
        store(session, task(made), records(*Pipeline.market("IBM", NOW, BARS)))
    return made


@pytest.fixture(scope="module")
def served(environment: Path, bars: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PgAdmin]:
    made = pgadmin(environment, bars, tmp_path_factory.mktemp("served"))
    with made.running(FIRST):
        yield made


def test_who_does_not_know_the_password_stays_outside(browser: Browser, served: PgAdmin) -> None:
    for guess in ("admin", PASSWORD):
        assert_refused(browser, served.address, guess)
    for path in ("/browser/", "/settings/", "/user_management/user/"):
        answer = requests.get(f"{served.address}{path}", allow_redirects=False, timeout=20)
        assert (answer.status_code, "/login" in answer.headers.get("Location", "/login")) in ((302, True), (401, True))
    by_another_name = requests.get(f"{served.address}/login", headers={"Host": "evil.example"}, timeout=20)
    assert by_another_name.status_code == 403


def test_there_is_one_login_and_an_entry_without_a_password(served: PgAdmin, bars: Database) -> None:
    logins = (
        "SELECT username, active, role.name FROM user JOIN roles_users ON user_id = user.id"
        " JOIN role ON role.id = role_id"
    )
    assert served.kept(logins) == [(LOGIN, 1, "User")]
    entries = (
        "SELECT name, host, port, maintenance_db, username, password, save_password, connection_params FROM server"
    )
    ((*entry, parameters),) = served.kept(entries)
    assert entry == [ENTRY, bars.server.host, bars.server.port, bars.name, "bi_reader", None, 0]
    assert json.loads(str(parameters))["sslmode"] == "verify-full"


def test_every_setting_is_one_that_pgadmin_knows(environment: Path) -> None:
    (known,) = environment.glob("lib/python*/site-packages/pgadmin4/config.py")
    ours, theirs = (
        set(re.findall(r"^ *([A-Z_]+) = ", path.read_text(), re.MULTILINE))
        for path in (ROOT / "pgadmin_app/config_local.py", known)
    )
    # Flask-Mail's own.
    assert ours - theirs == {"MAIL_SUPPRESS_SEND"}


def test_an_operator_reads_bars(browser: Browser, served: PgAdmin, bars: Database, tmp_path: Path) -> None:
    page = inside(browser, served.address, FIRST)
    connect(page, ENTRY, PASSWORD)
    node(page, "Databases").dblclick()
    node(page, bars.name).click()
    node(page, "Schemas").wait_for()
    page.keyboard.press("Alt+Shift+Q")
    query = page.frame_locator("iframe[src*=sqleditor], iframe")
    query.locator(".cm-content").first.fill(QUERY)
    page.keyboard.press("F5")
    expect(query.get_by_text(f"Total rows: {BARS}")).to_be_visible(timeout=MILLISECONDS)
    expect(query.get_by_role("gridcell", name="IBM", exact=True).first).to_be_visible()
    page.screenshot(path=Path(os.environ.get("MARKET_PULSE_SCREENSHOTS", tmp_path)) / "pgadmin.png")
    encrypted = "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'bi_reader'"
    assert bars.query(encrypted) == [(True,)]
    assert [words for words in page.said if "asked" in words or "Content Security" in words] == []  # type: ignore[attr-defined]
    page.context.close()


def test_a_changed_password_and_entry_hold_from_the_next_start(
    environment: Path, bars: Database, browser: Browser, tmp_path: Path
) -> None:
    served = pgadmin(environment, bars, tmp_path)
    # What was cut short at the first start, which is begun again.
    (tmp_path / "pgadmin4.db").write_text("")
    with served.running(FIRST):
        assert_no_secret_shows(served, FIRST)
        page = inside(browser, served.address, FIRST)
        served.keep("UPDATE server SET connection_params = '{\"sslmode\": \"disable\"}', host = 'evil.example'")
        served.keep(
            "INSERT INTO server (user_id, servergroup_id, name, host, port, username, save_password, use_ssh_tunnel,"
            " tunnel_authentication, tunnel_prompt_password, shared, kerberos_conn, cloud_status)"
            " VALUES (1, 1, 'mine', 'other.example', 5432, 'me', 0, 0, 0, 0, 0, 0, 0)"
        )
    with served.running(SECOND):
        page.goto(f"{served.address}/browser/")
        page.wait_for_url("**/login?next=/browser/")
        page.context.close()
        assert_refused(browser, served.address, FIRST)
        inside(browser, served.address, SECOND).context.close()
        entries = {name: (host, mode) for name, host, mode in served.kept(f"SELECT name, host, {_MODE} FROM server")}
        assert entries == {ENTRY: (bars.server.host, "verify-full"), "mine": ("other.example", None)}


def test_a_database_of_another_authority_is_not_spoken_with(
    environment: Path, bars: Database, browser: Browser, tmp_path: Path
) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.crt")
    served = pgadmin(environment, bars, tmp_path, MP_DATABASE_AUTHORITY=str(tmp_path / "other.crt"))
    with served.running(FIRST):
        page = inside(browser, served.address, FIRST)
        connect(page, ENTRY, PASSWORD)
        expect(page.get_by_text("certificate verify failed").first).to_be_visible(timeout=MILLISECONDS)
        page.context.close()


def test_one_that_hangs_is_told_to_the_watchdog_no_more(environment: Path, bars: Database, tmp_path: Path) -> None:
    served = pgadmin(environment, bars, tmp_path, WATCHDOG_USEC="3000000")
    with served.running(FIRST):
        eventually(lambda: "WATCHDOG=1" in served.daemon.told(), within=20, what="it is alive")
        for worker in served.workers():
            os.kill(worker, signal.SIGSTOP)
        eventually(lambda: told_last(served) == "STATUS=no answer: ReadTimeout", within=20, what="it is found")
        for worker in served.workers():
            os.kill(worker, signal.SIGCONT)
        eventually(lambda: told_last(served) == "WATCHDOG=1", within=20, what="it is alive again")


def told_last(served: PgAdmin) -> str:
    return served.daemon.told()[-1]


def assert_no_secret_shows(served: PgAdmin, password: str) -> None:
    for pid in served.processes():
        for name in ("cmdline", "environ"):
            assert password.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()
    assert password not in served.daemon.log
    assert "Traceback" not in served.daemon.log
