"""Facts read from their only home in the repository."""

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
ANSIBLE = ROOT / "ansible"


def group_vars(name: str) -> dict[str, Any]:
    """Return one file of ansible/group_vars/all as it is written, Jinja unrendered."""
    loaded: dict[str, Any] = yaml.safe_load((ANSIBLE / "group_vars" / "all" / f"{name}.yml").read_text())
    return loaded


def role_defaults(role: str) -> dict[str, Any]:
    """Return a role's defaults as they are written, Jinja unrendered."""
    return _of_role(role, "defaults")


def role_vars(role: str) -> dict[str, Any]:
    """Return a role's own variables in the same way."""
    return _of_role(role, "vars")


def _of_role(role: str, part: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ANSIBLE / "roles" / role / part / "main.yml").read_text())
    return loaded
