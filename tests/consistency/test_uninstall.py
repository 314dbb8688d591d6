"""What is installed is what uninstall.yml removes: by name, by the paths that all share, or by a role of its own."""

import re
from fnmatch import fnmatch
from pathlib import Path

import yaml

from support.repository import ANSIBLE, ROOT, group_vars, role_vars

PATHS = group_vars("pipeline")["market_pulse_paths"]
PLAY = yaml.safe_load((ANSIBLE / "uninstall.yml").read_text())[0]
# What is data: where a later deployment goes on.
DATA = {"state", "backups"}
SYSTEMD = ROOT / "systemd"
# Of the control node, or of the host before it is one of ours.
NOT_ON_HOSTS = {"lab_host", "preflight"}
# Paths that roles name and that stay, or go by other means, and why.
OTHERS = {
    "/etc/nftables.conf": "the package's; one line of it is ours, which goes",
    "/etc/nftables.d/": "goes if nobody else has rules there",
    "/etc/postgresql/": "the cluster's configuration belongs to the data; pg_dropcluster takes it with them",
    "/etc/postgresql-common/": "the package's, only named",
    "/etc/systemd/system": "what bears the project's name, and the drop-ins of PostgreSQL's unit",
    "/var/lib/postgresql": "data",
    "/var/run/": "gone with the process",
    "/run/": "gone with the unit, or with the next boot",
    "/var/spool/pgbackrest": "the package's",
    "/var/tmp": "only named",
}


def tasks(role: str) -> str:
    return (ANSIBLE / "roles" / role / "tasks/remove.yml").read_text()


def test_every_unit_bears_the_name_by_which_it_is_removed() -> None:
    pattern = str(role_vars("unit")["_unit_pattern"])
    others = {path.name for path in SYSTEMD.iterdir() if not fnmatch(path.name, pattern)}
    assert others == {"postgresql@.service.d"}
    assert "_postgresql_dropins" in tasks("postgresql")


def test_every_user_bears_the_name_by_which_it_is_removed() -> None:
    units = "".join(path.read_text() for path in SYSTEMD.glob("*.service"))
    users = set(re.findall(r"^User=(.+)$", units, re.MULTILINE))
    assert users
    (prefix,) = re.findall(r"select\('match', '([^']+)'\)", tasks("unit"))
    assert {user for user in users if not user.startswith(prefix)} == {"postgres"}, "postgres is the package's"
    made = (ANSIBLE / "roles/unit/defaults/main.yml").read_text()
    assert f'unit_user: "{prefix}{{{{ unit_name }}}}"' in made


def test_every_path_that_the_roles_share_is_removed_or_is_data() -> None:
    assert set(re.findall(r"market_pulse_paths\.(\w+)", PLAY["vars"]["data"])) == DATA
    loop = next(task["loop"] for task in PLAY["tasks"] if task["name"] == "Remove the project's directories")
    assert "market_pulse_paths.values()" in loop
    # Whoever adds a path elsewhere looks here, and says whether it is data.
    assert {name for name, path in PATHS.items() if not path.startswith(("/etc/", "/opt/"))} == DATA


def test_every_other_path_that_a_role_names_is_known_here() -> None:
    shared = tuple(PATHS.values())
    removed = (
        str(role_vars("app")["_app_command"]),
        str(role_vars("postgresql")["_postgresql_pgbackrest_file"]),
        *OTHERS,
    )
    unknown = {}
    for role in sorted(path for path in (ANSIBLE / "roles").iterdir() if path.name not in NOT_ON_HOSTS):
        for path in _texts(role):
            named = re.findall(r"(?<![\w}.])/(?:etc|opt|usr/local|var|srv|run)/[\w./@-]*", path.read_text())
            left = {name for name in named if not name.startswith((*shared, *removed))}
            if left:
                unknown[str(path.relative_to(ANSIBLE))] = left
    assert unknown == {}


def test_every_role_that_makes_something_of_its_own_takes_it_away() -> None:
    used = {
        task["ansible.builtin.include_role"]["name"] for task in PLAY["tasks"] if "ansible.builtin.include_role" in task
    }
    able = {path.parents[1].name for path in (ANSIBLE / "roles").glob("*/tasks/remove.yml")} - NOT_ON_HOSTS
    assert able <= used


def _texts(role: Path) -> list[Path]:
    folders = ("defaults", "files", "handlers", "tasks", "templates", "vars")
    return [path for folder in folders for path in (role / folder).rglob("*") if path.is_file()]
