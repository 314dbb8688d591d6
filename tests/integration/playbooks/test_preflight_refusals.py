"""Wrong inventories, written as YAML as an operator would, all refused by one run of the real playbook."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from market_pulse.producer.settings import SourceName
from market_pulse.settings import Plan
from market_pulse.upkeep.settings import UpkeepSettings
from support.preflight import ADDRESS, NO_FACTS, SECRET, SECRETS, refused
from support.repository import ROOT, group_vars

PIPELINE = group_vars("pipeline")
TIERS = PIPELINE["market_pulse_tiers"]


@dataclass(frozen=True)
class Case:
    """What one host's inventory says, and words that the refusal must have; without words it is accepted."""

    inventory: str
    words: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)


def ports(**changed: object) -> str:
    return yaml.safe_dump({"market_pulse_ports": PIPELINE["market_pulse_ports"] | changed})


def replay(folder: str) -> str:
    return f"{{market_pulse_source: replay, producer_replay_folder: {folder}}}"


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
    "port-text": Case(ports(kafka="9092a"), ("market_pulse_ports.kafka is '9092a'", "1 to 65535")),
    "port-zero": Case(ports(kafka=0), ("market_pulse_ports.kafka is 0",)),
    "port-high": Case(ports(kafka=65536), ("market_pulse_ports.kafka is 65536",)),
    "port-twice": Case(
        ports(kafka=8080), ("market_pulse_ports.kafka and market_pulse_ports.spark_master_ui are both 8080",)
    ),
    "port-lacking": Case("market_pulse_ports: {kafka: 9192}", ("market_pulse_ports lacks postgresql,", "give all of")),
    "port-surplus": Case(ports(zookeeper=2181), ("market_pulse_ports has the unknown zookeeper:", "give all of")),
    "no-secret": Case(
        "no_secret: vault_market_pulse_postgresql_monitor_password",
        ("market_pulse_postgresql_monitor_password is missing", "vault"),
    ),
    "number-secret": Case(
        "vault_market_pulse_vendor_api_key: 86420864208642", ("vault_market_pulse_vendor_api_key is", "quote it")
    ),
    "empty-secret": Case('vault_market_pulse_vendor_api_key: ""', ("market_pulse_vendor_api_key is missing or empty",)),
    "newline-secret": Case(
        'vault_market_pulse_vendor_api_key: "do-not-tell\\n"', ("vault_market_pulse_vendor_api_key has white",)
    ),
    "fast-real-market": Case(
        "{market_pulse_source: alphavantage, market_pulse_clock_speed: 60}", ("market_pulse_clock_speed is 60",)
    ),
    "slow-clock": Case("market_pulse_clock_speed: 0", ("market_pulse_clock_speed is 0", "above 0")),
    "local-start": Case(
        'market_pulse_clock_market_start: "2026-01-05T14:30:00"', ("market_pulse_clock_market_start", "14:30:00Z")
    ),
    "early-start": Case(
        'market_pulse_clock_market_start: "2020-01-06T14:30:00Z"',
        ("market_pulse_clock_market_start", "2022-01-01 or later"),
    ),
    "free-intraday": Case("market_pulse_vendor_plan: free", ("market_pulse_interval is '1min'", "free plan")),
    "unknown-source": Case("market_pulse_source: bloomberg", ("market_pulse_source is 'bloomberg'", "alphavantage")),
    "unknown-plan": Case(
        "market_pulse_vendor_plan: gold", ("market_pulse_vendor_plan is 'gold'", "free, delayed, premium")
    ),
    "delayed": Case("market_pulse_vendor_plan: delayed"),
    "unknown-interval": Case("market_pulse_interval: 2min", ("market_pulse_interval is '2min'", "5min")),
    "typo": Case("market_pulse_symbol: [IBM]", ("market_pulse_symbol is not", "did you mean market_pulse_symbols?")),
    "web-on-lan": Case("{market_pulse_web_on_lan: true, market_pulse_bi_networks: [192.0.2.0/24]}"),
    "web-for-nobody": Case("market_pulse_web_on_lan: true", ("market_pulse_web_on_lan", "market_pulse_bi_networks")),
    "web-text": Case("market_pulse_web_on_lan: 'yes'", ("market_pulse_web_on_lan is 'yes'", "true or false")),
    "everybody": Case("market_pulse_bi_networks: [0.0.0.0/0]", ("market_pulse_bi_networks", "everybody")),
    "host-bits": Case("market_pulse_bi_networks: [192.168.10.7/24]", ("market_pulse_bi_networks", "host bits set")),
    "one-network": Case(
        "market_pulse_bi_networks: 192.168.10.0/24", ("market_pulse_bi_networks is '192.168.10.0/24'", "must be a list")
    ),
    "no-way-in": Case("market_pulse_admin_networks: []", ("market_pulse_admin_networks is empty", "ssh")),
    "number-network": Case("market_pulse_bi_networks: [167772160]", ("market_pulse_bi_networks has 167772160",)),
    "other-address": Case("ansible_host: 203.0.113.1", ("ansible_host is '203.0.113.1'", ADDRESS)),
    "other-account": Case("market_pulse_accounts: {writer: me}", ("market_pulse_accounts is not settable",)),
    "other-path": Case("market_pulse_paths: {home: /srv}", ("market_pulse_paths is not settable",)),
    "open-spark": Case("market_pulse_spark_security: {}", ("market_pulse_spark_security is not settable",)),
    "short-retention": Case("kafka_topic_retention_days: 3", ("kafka_topic_retention_days is 3", "at least 7")),
    "text-retention": Case("kafka_topic_retention_days: '9'", ("kafka_topic_retention_days is '9'", "whole number")),
    "no-disk": Case("kafka_topic_max_gibibytes: 0", ("kafka_topic_max_gibibytes is 0", "at least 1")),
    "no-wal": Case("postgresql_standby_wal_gibibytes: 0", ("postgresql_standby_wal_gibibytes is 0", "at least 1")),
    "no-days": Case("market_pulse_backup_keep_days: 0", ("market_pulse_backup_keep_days is 0", "at least 1")),
    "other-stanza": Case("market_pulse_backup_stanza: main", ("market_pulse_backup_stanza is not settable",)),
    "settle-text": Case("market_pulse_settle_seconds: '5'", ("market_pulse_settle_seconds is '5'", "0 or more")),
    "extended-text": Case("market_pulse_extended_hours: 'maybe'", ("market_pulse_extended_hours is 'maybe'", "true")),
    "keep-a-year": Case("market_pulse_keep_months: 12"),
    "keep-one-month": Case("market_pulse_keep_months: 1", ("market_pulse_keep_months is 1", "at least 2")),
    "one-month-ahead": Case("upkeep_months_ahead: 1", ("upkeep_months_ahead is 1", "at least 2")),
    "half-a-year-ahead": Case("upkeep_months_ahead: 6"),
    "misspelt-exchange": Case("market_pulse_exchange: XNY", ("market_pulse_exchange is 'XNY'", "did you mean XNYS?")),
    "other-exchange": Case("market_pulse_exchange: XTSE"),
    "alerts": Case(
        '{market_pulse_alert_quiet_hours: "22:00-07:00 Europe/Berlin", market_pulse_alert_after_seconds: 60, '
        'vault_market_pulse_alert_urls: "jsons://hooks.example.net/x\\nmailtos://me:do-not-tell@example.net\\n"}'
    ),
    "no-alerts": Case('vault_market_pulse_alert_urls: ""'),
    "alert-list": Case(
        "vault_market_pulse_alert_urls: [jsons://do-not-tell]", ("vault_market_pulse_alert_urls is not text", "a line")
    ),
    "alert-url": Case(
        'vault_market_pulse_alert_urls: "jsons://example.net\\ndo-not-tell"',
        ("vault_market_pulse_alert_urls, line 2, is no URL",),
    ),
    "alert-text": Case("market_pulse_alert_after_seconds: '9'", ("market_pulse_alert_after_seconds is '9'",)),
    "quiet-night": Case(
        "market_pulse_alert_quiet_hours: at night",
        ("market_pulse_alert_quiet_hours is 'at night'", "22:00-07:00 Europe/Berlin"),
    ),
    "quiet-zone": Case('market_pulse_alert_quiet_hours: "22:00-07:00 Mars/Base"', ("time zone that does not exist",)),
    "replay": Case(replay("/srv/answers")),
    "replay-nothing": Case("market_pulse_source: replay", ("producer_replay_folder is None", "absolute path")),
    "replay-relative": Case(replay("answers"), ("producer_replay_folder is 'answers'", "absolute path")),
    "replay-hidden": Case(replay("/srv/../home/me"), ("producer_replay_folder is '/srv/../home/me'", "sandbox hides")),
    "debian-11": Case("", ("Debian 11", "Debian 12 or 13"), {"ansible_distribution_major_version": "11"}),
    "ubuntu": Case("", ("runs Ubuntu",), {"ansible_distribution": "Ubuntu"}),
    "arm": Case("", ("aarch64", "x86_64"), {"ansible_architecture": "aarch64"}),
    "no-systemd": Case("", ("is docker-init", "systemd"), {"ansible_service_mgr": "docker-init"}),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The playbook's answer to every case: the refusal, or nothing."""
    hosts = {}
    for name, case in CASES.items():
        variables = {f"vault_{secret}": SECRET for secret in SECRETS} | (yaml.safe_load(case.inventory) or {})
        variables.pop(variables.get("no_secret"), None)
        if name != "no-symbols":
            variables.setdefault("market_pulse_symbols", ["IBM"])
        hosts[name] = variables
    directory = tmp_path_factory.mktemp("preflight")
    groups = {tier: {"hosts": dict.fromkeys(hosts)} for tier in TIERS}
    everywhere = {"ansible_host": ADDRESS, "market_pulse_secrets_directory": str(directory / "none")}
    inventory = {"hosts": hosts, "vars": everywhere, "children": groups}
    tasks = refused(directory, inventory, {name: case.facts for name, case in CASES.items()})
    results = tasks["preflight : Refuse what cannot work"]
    return {name: "\n".join(result["msg"]) if result.get("failed") else "" for name, result in results.items()}


@pytest.mark.parametrize("name", CASES)
def test_preflight(name: str, answers: dict[str, str]) -> None:
    words = CASES[name].words
    assert bool(answers[name]) == bool(words), answers[name]
    assert [word for word in words if word not in answers[name]] == [], answers[name]


def test_no_refusal_tells_a_secret(answers: dict[str, str]) -> None:
    assert SECRET not in "".join(answers.values())


def test_every_tier_has_the_hosts_it_needs(tmp_path: Path) -> None:
    names = ["a", "b"]
    groups = {tier: ["a"] for tier in TIERS} | {
        "spark_worker": names,
        "kafka": names,
        "producer": names,
        "consumer": [],
        "pgadmin": names,
    }
    everywhere: dict[str, object] = {f"vault_{secret}": SECRET for secret in SECRETS} | {
        "ansible_host": ADDRESS,
        "market_pulse_secrets_directory": str(tmp_path / "none"),
        "market_pulse_source": "alphavantage",
        "market_pulse_symbols": ["IBM"],
    }
    children = {tier: {"hosts": dict.fromkeys(hosts)} for tier, hosts in groups.items()}
    inventory = {"hosts": dict.fromkeys(names), "vars": everywhere, "children": children}
    tasks = refused(tmp_path, inventory, dict.fromkeys(names, NO_FACTS))
    why = "a standby takes over when the primary's host is lost, so it must be another one"
    said = tasks["preflight : Refuse tiers with too few or too many hosts"]["a"]["msg"]
    assert said == [
        "the group consumer has no host: the inventory must name one for it",
        "the group simulator has a: with market_pulse_source alphavantage it must have none",
        "the group producer has a, b: it must have exactly one host",
        "the group pgadmin has a, b: it must have exactly one host",
        f"the groups postgresql and postgresql_standby both have a: {why}",
    ]


def test_nodes_of_kafka_that_could_not_be_one_cluster_are_refused(tmp_path: Path) -> None:
    names = ["a", "b", "c", "d"]
    groups = {tier: ["a"] for tier in TIERS} | {"kafka": names, "kafka_controller": [], "postgresql_standby": []}
    everywhere: dict[str, object] = {f"vault_{secret}": SECRET for secret in SECRETS} | {
        "ansible_host": ADDRESS,
        "market_pulse_secrets_directory": str(tmp_path / "none"),
        "market_pulse_symbols": ["IBM"],
    }
    children = {tier: {"hosts": dict.fromkeys(hosts)} for tier, hosts in groups.items()}
    numbers: dict[str, object] = {"b": {"kafka_node_id": 2}, "c": {"kafka_node_id": 2}, "d": {"kafka_node_id": "3"}}
    inventory = {"hosts": dict.fromkeys(names) | numbers, "vars": everywhere, "children": children}
    tasks = refused(tmp_path, inventory, dict.fromkeys(names, NO_FACTS))
    (refusal,) = [results for task, results in tasks.items() if task.startswith("preflight : Refuse nodes of Kafka's")]
    assert [sentence.split(":")[0] for sentence in refusal["a"]["msg"]] == [
        "kafka_node_id is missing for a",
        "kafka_node_id is '3' for d",
        "kafka_node_id is 2 for b and c",
        "the group kafka has a, b, c, d, which all vote, and an even number of voters survives no more than one less",
    ]


def test_the_choices_are_those_of_the_daemons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "ansible/roles/preflight/filter_plugins")
    import market  # noqa: PLC0415 - found by the line above

    assert set(market.PLANS) == set(Plan)
    assert set(market.SOURCES) == set(SourceName)


def test_what_the_upkeep_takes_preflight_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "ansible/roles/preflight/filter_plugins")
    import preflight  # noqa: PLC0415 - found by the line above

    (least,) = (item.ge for item in UpkeepSettings.model_fields["months_ahead"].metadata)
    assert [list(preflight.upkeep_problems(months)) != [] for months in (least - 1, least)] == [True, False]
