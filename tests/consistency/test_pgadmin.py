"""pgAdmin: what its settings, its role, its place in an inventory and the README say of one thing is the same."""

import re
import runpy
from pathlib import Path

import pytest

from support.pgadmin_page import LOGIN
from support.repository import ROOT, group_vars, role_defaults, role_vars

README = (ROOT / "README.md").read_text()
SECTION = README[README.index("### pgAdmin") : README.index("## Operate it")]
PIPELINE = group_vars("pipeline")
# Each starts a program, keeps a password, or asks somebody else.
CLOSED = {
    *("ENABLE_PSQL", "ENABLE_BINARY_PATH_BROWSING", "ENABLE_SERVER_PASS_EXEC_CMD", "ALLOW_SAVE_PASSWORD"),
    *("UPGRADE_CHECK_ENABLED", "SHOW_GRAVATAR_IMAGE", "LLM_ENABLED", "SUPPORT_SSH_TUNNEL", "AUTO_DISCOVER_SERVERS"),
}


@pytest.fixture(autouse=True)
def _unit(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STATE", "RUNTIME"):
        monkeypatch.setenv(f"{name}_DIRECTORY", f"/{name.lower()}")
    monkeypatch.setenv("MP_PGADMIN_PORT", "5050")


def test_nothing_is_open_that_should_be_closed() -> None:
    settings = runpy.run_path(str(ROOT / "pgadmin_app/config_local.py"))
    assert {name for name in CLOSED if settings[name] is not False} == set()
    assert (settings["SERVER_MODE"], settings["DATA_DIR"], settings["SESSION_DB_PATH"]) == (
        True,
        "/state",
        "/runtime/sessions",
    )
    assert set(settings["ALLOWED_HOSTS"]) == {"127.0.0.1", "localhost"}


def test_it_is_served_on_loopback_by_one_process_that_the_watchdog_alone_ends() -> None:
    settings = runpy.run_path(str(ROOT / "pgadmin_app/gunicorn.conf.py"))
    assert (settings["bind"], settings["workers"], settings["timeout"]) == ("127.0.0.1:5050", 1, 0)
    assert Path(settings["chdir"]) == ROOT / "pgadmin_app"


def test_the_readme_tells_port_login_and_secret() -> None:
    port = PIPELINE["market_pulse_ports"]["pgadmin"]
    assert f"-L {port}:127.0.0.1:{port}" in SECTION
    assert {LOGIN} == {role_defaults("pgadmin")["pgadmin_login"]}
    assert f"`{LOGIN}`" in SECTION
    (secret,) = re.findall(r"vault_(market_pulse_pgadmin_\w+)", SECTION)
    assert group_vars("secrets")[secret] == f"{{{{ vault_{secret} }}}}"


def test_the_account_of_its_entries_is_let_in_from_its_host() -> None:
    variables = role_vars("pgadmin")["_pgadmin_variables"]
    account = variables["MP_DATABASE_USER"]
    role = role_vars("postgresql")
    (rule,) = [rule for rule in role["_postgresql_access"] if rule["account"] == account]
    networks = role[rule["networks"].strip("{} ")]
    assert "groups['pgadmin']" in networks
