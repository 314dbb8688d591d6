"""What is resolved for the hosts: complete, compared with the lock files, and the same bytes each time."""

import os
import re
import tarfile
from pathlib import Path
from types import ModuleType

import jinja2
import pyspark
import pytest
import yaml

from support.repository import ANSIBLE, group_vars

ARTIFACTS = ANSIBLE / "artifacts"


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ARTIFACTS)
    import cache as module  # noqa: PLC0415 - found by the line above

    return module


@pytest.fixture
def resolve(cache: ModuleType) -> ModuleType:
    assert ANSIBLE.parent == cache.PROJECT
    import resolve as module  # noqa: PLC0415 - beside the cache

    return module


def locked(name: str) -> list[str]:
    return [line.split()[1] for line in (ARTIFACTS / f"{name}.sha256").read_text().splitlines()]


def artifact_name(jar: str) -> str:
    return re.sub(r"-\d+(\.\d+)+.*\.jar$", "", jar)


PINS = group_vars("versions")
KAFKA = (PINS["kafka_version"], PINS["kafka_previous_version"])


@pytest.mark.parametrize("version", KAFKA)
def test_locked_jars_of_kafka_are_of_the_pinned_versions(version: str) -> None:
    jars = set(locked(f"kafka-{version}"))
    assert {f"kafka_{PINS['scala_version']}-{version}.jar", f"kafka-tools-{version}.jar"} <= jars
    assert {f"{name}-{PINS['log4j_version']}.jar" for name in ("log4j-slf4j-impl", "log4j-core")} <= jars


def test_locked_jars_of_the_connector_are_of_the_pinned_version() -> None:
    version = PINS["spark_version"]
    jars = locked(f"spark-connector-{version}")
    assert f"spark-sql-kafka-0-10_{PINS['scala_version']}-{version}.jar" in jars


def test_no_release_is_locked_that_nothing_pins() -> None:
    pinned = {*(f"kafka-{version}" for version in KAFKA), f"spark-connector-{PINS['spark_version']}"}
    assert {lock.stem for lock in ARTIFACTS.glob("*.sha256")} == pinned


def test_the_release_before_is_of_the_minor_version_before() -> None:
    (major, minor), (major_before, minor_before) = (map(int, version.split(".")[:2]) for version in KAFKA)
    assert (major_before, minor_before) == (major, minor - 1)


def test_pgadmin_is_resolved_where_it_is_wanted_and_nowhere_else(resolve: ModuleType) -> None:
    wanted, others = (
        {one.name for one in resolve.artifacts(KAFKA[0], with_pgadmin=is_wanted)} for is_wanted in (True, False)
    )
    assert wanted - others == {f"pgadmin-py{release['python']}" for release in PINS["debian_releases"].values()}
    role = yaml.safe_load((ANSIBLE / "roles/artifacts/tasks/resolve.yml").read_text())
    asks = role[0]["ansible.builtin.command"]["argv"].split("+", 1)[1]
    templates = jinja2.Environment(autoescape=False)  # noqa: S701 - it is no HTML
    for groups, expected in (({}, []), ({"pgadmin": []}, []), ({"pgadmin": ["a"]}, ["--pgadmin"])):
        assert templates.from_string("{{ " + asks).render(groups=groups) == str(expected)


def test_the_connector_brings_no_jar_that_spark_has_itself() -> None:
    connector = f"spark-connector-{PINS['spark_version']}"
    of_spark = {artifact_name(path.name) for path in (Path(pyspark.__file__).parent / "jars").iterdir()}
    assert len(of_spark) > 100
    assert {artifact_name(jar) for jar in locked(connector)} & of_spark == set()


def test_a_jar_that_is_missing_surplus_or_changed_is_noticed(cache: ModuleType, tmp_path: Path) -> None:
    lock, libs = tmp_path / "lock", tmp_path / "libs"
    libs.mkdir()
    for name in ("a.jar", "b.jar"):
        (libs / name).write_text(name)
    cache.write_lock(lock, libs.iterdir())
    assert cache.violations(libs, lock) == []
    (libs / "a.jar").write_text("other")
    (libs / "b.jar").unlink()
    (libs / "c.jar").write_text("new")
    assert cache.violations(libs, lock) == ["a.jar", "b.jar", "c.jar"]
    assert cache.violations(libs, tmp_path / "none") != []


def test_equal_files_make_equal_tars(cache: ModuleType, tmp_path: Path) -> None:
    program, link = tmp_path / "program", tmp_path / "link"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    link.symlink_to("program")
    files = {"bin/program": program, "bin/link": link}
    cache.pack(files, tmp_path / "first.tar")
    os.utime(program, (0, 10**9))
    cache.pack(dict(reversed(files.items())), tmp_path / "second.tar")
    assert (tmp_path / "first.tar").read_bytes() == (tmp_path / "second.tar").read_bytes()
    with tarfile.open(tmp_path / "first.tar") as tar:
        assert [(member.name, member.mode, member.uid, member.uname) for member in tar if member.isfile()] == [
            ("bin/program", 0o755, 0, "root")
        ]
        assert tar.getmember("bin/link").linkname == "program"
