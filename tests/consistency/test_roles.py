"""Roles tell in argument specs what they take, and in defaults what it is: the same names in both."""

from typing import Any

import pytest
import yaml

from support.repository import ANSIBLE

ROLES = sorted(path.name for path in (ANSIBLE / "roles").iterdir())
# Other entry points than these take a part of a role's variables.
WHOLE = {"main", "master", "worker"}


def specs(role: str) -> dict[str, Any]:
    loaded = yaml.safe_load((ANSIBLE / "roles" / role / "meta/argument_specs.yml").read_text())["argument_specs"]
    return {entry: spec.get("options", {}) for entry, spec in loaded.items()}


def defaults(role: str) -> set[str]:
    path = ANSIBLE / "roles" / role / "defaults/main.yml"
    return set(yaml.safe_load(path.read_text())) if path.exists() else set()


def with_default(options: dict[str, Any]) -> set[str]:
    """Return the options that may be left out; what all roles share is in group_vars."""
    return {
        name for name, option in options.items() if not option.get("required") and not name.startswith("market_pulse_")
    }


def uses() -> set[tuple[str, str]]:
    """Return each role and entry point that a playbook or a role calls."""
    found = set()

    def look(node: object) -> None:
        if isinstance(node, dict):
            for module in ("ansible.builtin.include_role", "ansible.builtin.import_role"):
                if module in node:
                    found.add((node[module]["name"], node[module].get("tasks_from", "main")))
            for role in node.get("roles", []):
                found.add((role["role"], "main"))
        for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            look(child)

    for path in [*ANSIBLE.glob("*.yml"), *ANSIBLE.glob("roles/*/tasks/*.yml")]:
        look(yaml.safe_load(path.read_text()))
    return found


@pytest.mark.parametrize("role", ROLES)
def test_options_and_defaults_are_the_same(role: str) -> None:
    entries = specs(role)
    for entry, options in entries.items():
        assert with_default(options) <= defaults(role), entry
        if entry in WHOLE:
            assert with_default(options) == defaults(role), entry
    assert set().union(*map(with_default, entries.values())) == defaults(role)


@pytest.mark.parametrize("role", ROLES)
def test_values_are_not_in_the_specs(role: str) -> None:
    assert [name for options in specs(role).values() for name in options if "default" in options[name]] == []


@pytest.mark.parametrize(("role", "entry"), sorted(uses()))
def test_what_is_called_has_a_spec(role: str, entry: str) -> None:
    assert entry in specs(role)
    assert (ANSIBLE / "roles" / role / "tasks" / f"{entry}.yml").exists()


@pytest.mark.parametrize("role", ROLES)
def test_what_is_written_has_the_same_order_in_every_run(role: str) -> None:
    files = [path for part in ("defaults", "vars", "templates") for path in (ANSIBLE / "roles" / role / part).glob("*")]
    # Ansible makes sets of both sides, whose order is another one in every process.
    unordered = ("| union(", "| difference(", "| intersect(", "| symmetric_difference(")
    assert [path.name for path in files for word in unordered if word in path.read_text()] == []
