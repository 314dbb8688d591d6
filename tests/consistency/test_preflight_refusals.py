"""Wrong inventories, written as YAML as an operator would, all refused by one run of the real playbook."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from support.repository import ROOT

TIERS = yaml.safe_load((ROOT / "ansible/group_vars/all/pipeline.yml").read_text())["market_pulse_tiers"]
# Facts as Ansible caches them.
DEBIAN: dict[str, object] = {
    "ansible_distribution": "Debian",
    "ansible_distribution_major_version": "13",
    "ansible_architecture": "x86_64",
    "ansible_service_mgr": "systemd",
    "_ansible_facts_gathered": True,
}
SECRETS = ("vendor_api_key", "postgresql_writer_password", "postgresql_bi_reader_password")
SECRETS += ("postgresql_monitor_password", "spark_secret")

SECRET = "do-not-tell"


@dataclass(frozen=True)
class Case:
    """What one host's inventory says, and words that the refusal must have; without words it is accepted."""

    inventory: str
    words: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)


PORTS = "market_pulse_ports: {{postgresql: 5432, kafka: {}, spark_worker: 7078, spark_master_ui: {}}}"
CASES = {
    "good": Case("market_pulse_symbols: [AAPL, BRK.B, 'ON']"),
    "good-debian-12": Case("market_pulse_symbols: [IBM]", facts={"ansible_distribution_major_version": "12"}),
    "no-symbols": Case("", ("market_pulse_symbols is missing", "[AAPL, IBM]")),
    "empty-symbols": Case("market_pulse_symbols: []", ("market_pulse_symbols is empty",)),
    "one-string": Case("market_pulse_symbols: AAPL,IBM", ("market_pulse_symbols is 'AAPL,IBM'", "must be a list")),
    "boolean-ticker": Case("market_pulse_symbols: [AAPL, ON]", ("item 2, is True", "quote it")),
    "number-ticker": Case("market_pulse_symbols: [0123]", ("item 1, is 83", "quote it")),
    "null-ticker": Case("market_pulse_symbols: [NULL]", ("item 1, is None", "quote it")),
    "lower-case": Case("market_pulse_symbols: [aapl]", ("item 1, is 'aapl'", "a ticker matches")),
    "formula": Case("market_pulse_symbols: [\"=cmd|' /C calc'!A0\"]", ("item 1", "a ticker matches")),
    "twice": Case("market_pulse_symbols: [IBM, AAPL, IBM]", ("market_pulse_symbols has IBM 2 times",)),
    "port-text": Case(PORTS.format('"9092a"', 8080), ("market_pulse_ports.kafka is '9092a'", "1 to 65535")),
    "port-zero": Case(PORTS.format(0, 8080), ("market_pulse_ports.kafka is 0",)),
    "port-high": Case(PORTS.format(65536, 8080), ("market_pulse_ports.kafka is 65536",)),
    "port-twice": Case(
        PORTS.format(8080, 8080), ("market_pulse_ports.kafka and market_pulse_ports.spark_master_ui are both 8080",)
    ),
    "no-secret": Case("no_secret: vault_market_pulse_spark_secret", ("market_pulse_spark_secret is missing", "vault")),
    "empty-secret": Case('vault_market_pulse_vendor_api_key: ""', ("market_pulse_vendor_api_key is missing or empty",)),
    "newline-secret": Case(
        'vault_market_pulse_spark_secret: "do-not-tell\\n"', ("vault_market_pulse_spark_secret has white",)
    ),
    "fast-real-market": Case(
        "{market_pulse_source: alphavantage, market_pulse_clock_speed: 60}", ("market_pulse_clock_speed is 60",)
    ),
    "slow-clock": Case("market_pulse_clock_speed: 0", ("market_pulse_clock_speed is 0", "above 0")),
    "local-start": Case(
        'market_pulse_clock_market_start: "2026-01-05T14:30:00"', ("market_pulse_clock_market_start", "14:30:00Z")
    ),
    "free-intraday": Case("market_pulse_vendor_plan: free", ("market_pulse_interval is '1min'", "free plan")),
    "unknown-source": Case("market_pulse_source: bloomberg", ("market_pulse_source is 'bloomberg'", "alphavantage")),
    "unknown-plan": Case("market_pulse_vendor_plan: gold", ("market_pulse_vendor_plan is 'gold'", "free, premium")),
    "unknown-interval": Case("market_pulse_interval: 2min", ("market_pulse_interval is '2min'", "5min")),
    "typo": Case("market_pulse_symbol: [IBM]", ("market_pulse_symbol is not", "did you mean market_pulse_symbols?")),
    "everybody": Case("market_pulse_bi_networks: [0.0.0.0/0]", ("market_pulse_bi_networks", "everybody")),
    "host-bits": Case("market_pulse_bi_networks: [192.168.10.7/24]", ("market_pulse_bi_networks", "host bits set")),
    "debian-11": Case("", ("Debian 11", "Debian 12 or 13"), {"ansible_distribution_major_version": "11"}),
    "ubuntu": Case("", ("runs Ubuntu",), {"ansible_distribution": "Ubuntu"}),
    "arm": Case("", ("aarch64", "x86_64"), {"ansible_architecture": "aarch64"}),
    "no-systemd": Case("", ("is docker-init", "systemd"), {"ansible_service_mgr": "docker-init"}),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The playbook's answer to every case: the refusal, or nothing."""
    directory = tmp_path_factory.mktemp("preflight")
    (directory / "facts").mkdir()
    hosts = {}
    for name, case in CASES.items():
        variables = {f"vault_market_pulse_{secret}": SECRET for secret in SECRETS} | (
            yaml.safe_load(case.inventory) or {}
        )
        variables.pop(variables.get("no_secret"), None)
        if name != "no-symbols":
            variables.setdefault("market_pulse_symbols", ["IBM"])
        hosts[name] = variables
        (directory / "facts" / f"s1_{name}").write_text(
            json.dumps({"__payload__": json.dumps(DEBIAN | dict(case.facts))})
        )
    groups = {tier: {"hosts": dict.fromkeys(hosts)} for tier in TIERS}
    everywhere = {"ansible_connection": "local", "market_pulse_secrets_directory": str(directory / "none")}
    inventory = {"all": {"hosts": hosts, "vars": everywhere, "children": groups}}
    (directory / "hosts.yml").write_text(yaml.safe_dump(inventory))
    run = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", directory / "hosts.yml", ROOT / "ansible/site.yml"],
        env=os.environ
        | {
            "ANSIBLE_CONFIG": str(ROOT / "ansible/ansible.cfg"),
            "ANSIBLE_CACHE_PLUGIN": "jsonfile",
            "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(directory / "facts"),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2, run.stdout + run.stderr
    plays = json.JSONDecoder().raw_decode(run.stdout, run.stdout.index("{"))[0]["plays"]
    assert [play["play"]["name"] for play in plays] == ["Preflight"], "a refusal ends the run before any change"
    (results,) = [task["hosts"] for task in plays[0]["tasks"] if task["task"]["name"].endswith("cannot work")]
    return {name: "\n".join(result["msg"]) if result.get("failed") else "" for name, result in results.items()}


@pytest.mark.parametrize("name", CASES)
def test_preflight(name: str, answers: dict[str, str]) -> None:
    words = CASES[name].words
    assert bool(answers[name]) == bool(words), answers[name]
    assert [word for word in words if word not in answers[name]] == [], answers[name]


def test_no_refusal_tells_a_secret(answers: dict[str, str]) -> None:
    assert SECRET not in "".join(answers.values())
