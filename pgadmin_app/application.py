"""What gunicorn serves: pgAdmin, with the login and the server entries that the deployment says.

Both are made so at every start, and inside pgAdmin's process: its own command for it, setup.py, takes the password as
an argument, which every user of the host could read. Environment:

    MP_PGADMIN_LOGIN                the only login; its password is the credential mp_pgadmin_password
    MP_PGADMIN_SERVERS              the database's hosts: address by name, as JSON
    MP_DATABASE_PORT, _NAME, _USER  how they are asked; the user's password is typed in the browser
    MP_DATABASE_AUTHORITY           the file of the authority that vouches for them
"""

# ruff: noqa: PLC0415 - pgAdmin is configured by its environment when it is imported
import json
import os
import secrets
import sys
import sysconfig
from pathlib import Path
from typing import Any

_STATE = Path(os.environ["STATE_DIRECTORY"])
# That pgAdmin's database was once made to its end: it does not go on where it was cut short.
_MADE = _STATE / "made"
_GROUP = "market-pulse"
# What needs no other program and no administrator; the login's password is the vault's to change.
_PERMISSIONS = (
    "object_register_server",
    "tools_query_tool",
    "tools_search_objects",
    "tools_schema_diff",
    "tools_erd_tool",
    "storage_add_folder",
    "storage_remove_folder",
)
_CONNECT_SECONDS = 10


def _pgadmin() -> Any:
    """Return pgAdmin's application, which makes or upgrades its database when it is imported."""
    # It is no package: its modules import each other by plain names.
    sys.path.insert(0, str(Path(sysconfig.get_path("purelib"), "pgadmin4")))
    if not _MADE.exists():
        (_STATE / "pgadmin4.db").unlink(missing_ok=True)
    # It asks for a first user; that one's password nobody knows, and soon it is another.
    first = {"PGADMIN_SETUP_EMAIL": os.environ["MP_PGADMIN_LOGIN"], "PGADMIN_SETUP_PASSWORD": secrets.token_urlsafe()}
    os.environ.update(first)
    from pgAdmin4 import app

    for name in first:
        del os.environ[name]
    _MADE.touch()
    return app


def _agree_on_login() -> Any:
    """Give the only user the deployment's name and password, and return it."""
    from flask_security.utils import hash_password
    from pgadmin.model import Role, User

    role = Role.query.filter_by(name="User").one()
    role.permissions = list(_PERMISSIONS)
    password = Path(os.environ["CREDENTIALS_DIRECTORY"], "mp_pgadmin_password").read_text().strip()
    user = User.query.one()
    user.username = user.email = os.environ["MP_PGADMIN_LOGIN"]
    user.password = hash_password(password)
    user.roles = [role]
    user.active, user.locked = True, False
    return user


def _agree_on_servers(user: Any) -> None:
    """Make the entries of our group those of the deployment; what the operator adds elsewhere is the operator's."""
    from pgadmin.model import Server, ServerGroup, db

    group = ServerGroup.query.filter_by(user_id=user.id, name=_GROUP).one_or_none()
    if group is None:
        group = ServerGroup(user_id=user.id, name=_GROUP)
        db.session.add(group)
        db.session.flush()
    wanted = json.loads(os.environ["MP_PGADMIN_SERVERS"])
    entries = {entry.name: entry for entry in Server.query.filter_by(servergroup_id=group.id)}
    for name in entries.keys() - wanted.keys():
        db.session.delete(entries[name])
    for name, address in wanted.items():
        entry = entries.get(name) or Server(user_id=user.id, servergroup_id=group.id, name=name)
        entry.host, entry.port = address, int(os.environ["MP_DATABASE_PORT"])
        entry.maintenance_db = entry.db_res = os.environ["MP_DATABASE_NAME"]
        entry.username = os.environ["MP_DATABASE_USER"]
        entry.connection_params = {"sslmode": "verify-full", "connect_timeout": _CONNECT_SECONDS}
        entry.password, entry.save_password, entry.shared = None, 0, False
        entry.use_ssh_tunnel = entry.tunnel_authentication = entry.tunnel_prompt_password = 0
        db.session.add(entry)


def _prepared() -> Any:
    """Return pgAdmin as this deployment has it."""
    # libpq's own variable: in server mode pgAdmin takes a file from the user's folder alone.
    os.environ["PGSSLROOTCERT"] = os.environ["MP_DATABASE_AUTHORITY"]
    app = _pgadmin()
    from pgadmin.model import db

    with app.app_context():
        _agree_on_servers(_agree_on_login())
        db.session.commit()
    return app


application = _prepared()
