"""A version is written once; where a tool needs it twice, both must say the same."""

import configparser
import re

from support.repository import ANSIBLE, ROOT, group_vars

VERSIONS = group_vars("versions")
PIN = re.compile(r"^([A-Za-z0-9_.\-]+)==([^\s;\\]+)", re.MULTILINE)


def setup_cfg_pins(*extras: str) -> dict[str, str]:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    text = config["options"]["install_requires"]
    text += "".join(config["options.extras_require"][extra] for extra in extras)
    return {name.lower().replace("_", "-"): version for name, version in PIN.findall(text)}


def lock(name: str) -> set[tuple[str, str]]:
    return {(package.lower(), version) for package, version in PIN.findall((ANSIBLE / "artifacts" / name).read_text())}


def test_the_locks_hold_exactly_what_setup_cfg_pins() -> None:
    assert set(setup_cfg_pins().items()) <= lock("requirements.lock")
    assert set(setup_cfg_pins("spark", "dev").items()) <= lock("requirements-dev.lock")


def test_the_development_environment_is_the_hosts_environment_and_more() -> None:
    assert lock("requirements.lock") <= lock("requirements-dev.lock")


def test_every_locked_package_carries_hashes() -> None:
    for name in ("requirements.lock", "requirements-dev.lock", "pgadmin.lock"):
        blocks = re.split(r"\n(?=\S)", (ANSIBLE / "artifacts" / name).read_text().strip())
        assert blocks
        assert [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block] == []


def test_pgadmin_is_locked_as_it_is_pinned_and_is_no_dependency_of_ours() -> None:
    pins = set(PIN.findall((ANSIBLE / "artifacts/pgadmin.in").read_text()))
    assert {name for name, _ in pins} == {"gunicorn", "pgadmin4"}
    assert pins <= lock("pgadmin.lock")
    assert pins & lock("requirements-dev.lock") == set()


def test_spark_is_one_version_on_the_hosts_and_in_the_tests() -> None:
    assert setup_cfg_pins("spark")["pyspark"] == VERSIONS["spark_version"]


def test_the_build_backend_is_the_pinned_one() -> None:
    assert f'requires = ["setuptools=={setup_cfg_pins("dev")["setuptools"]}"]' in (ROOT / "pyproject.toml").read_text()


def test_hosts_run_a_python_that_the_package_accepts() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    oldest = min(release["python"] for release in VERSIONS["debian_releases"].values())
    assert config["options"]["python_requires"] == f">={oldest}"


def test_the_way_back_that_operators_are_told_is_to_the_release_before() -> None:
    for page in ("README.md", "CHANGELOG.md"):
        told = set(re.findall(r"kafka_version=([\d.]+)", (ROOT / page).read_text()))
        assert told == {VERSIONS["kafka_previous_version"]}, page
