"""pgAdmin on a deployed host: on loopback alone, closed to who lacks the vault's password, and never hung for long."""

import pytest
from playwright.sync_api import Browser

from support.pgadmin_page import LOGIN, assert_refused, connect, inside, node
from support.repository import ANSIBLE, group_vars
from support.waiting import eventually
from system.deployment import HOST_NAME, Deployment
from system.host import Host

UNIT = "market-pulse-pgadmin"
PORT: int = group_vars("pipeline")["market_pulse_ports"]["pgadmin"]


def test_it_listens_on_loopback_alone(host: Host) -> None:
    assert host.run(f"ss -Hltn 'sport = :{PORT}' | awk '{{print $4}}'").split() == [f"127.0.0.1:{PORT}"]


def test_the_vaults_password_alone_lets_in_and_the_entry_leads_to_the_database(
    deployment: Deployment, host: Host, browser: Browser
) -> None:
    assert LOGIN in (ANSIBLE / "roles/pgadmin/defaults/main.yml").read_text()
    with host.tunnel(PORT) as address:
        for password in ("admin", deployment.secret("postgresql_bi_reader_password")):
            assert_refused(browser, f"http://{address}", password)
        page = inside(browser, f"http://{address}", deployment.secret("pgadmin_password"))
        connect(page, HOST_NAME, deployment.secret("postgresql_bi_reader_password"))
        node(page, "Databases").wait_for()
        page.context.close()
    encrypted = "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'bi_reader'"
    assert host.sql(encrypted) == [["t"]]


@pytest.mark.slow
def test_one_that_hangs_is_found_by_the_watchdog_and_started_again(host: Host) -> None:
    host.await_running(UNIT, within=60)
    before, since = host.main_pid(UNIT), host.journal_cursor()
    # The supervisor's child is gunicorn, and the child of that is who answers.
    host.run(f"kill -STOP $(pgrep --parent $(pgrep --parent {before}))")
    host.await_sentence(UNIT, "no answer: ", within=60)
    eventually(
        lambda: "Watchdog timeout" in host.run(f"journalctl -u {UNIT} --after-cursor='{since}' -o cat"),
        within=host.watchdog_seconds(UNIT) + 30,
        what="the watchdog finds it",
    )
    eventually(lambda: host.main_pid(UNIT) not in {0, before}, within=30, what="it is started again")
    host.await_running(UNIT, within=60)
