"""Bring everything that hosts run, and that Debian does not have, into this machine's cache; see `--help`.

Every artefact ends as one tar that unpacks on a host. Its name holds a key of all that it is made from, so nothing is
fetched or packed twice. What comes from a registry is compared with the lock files beside this script.
"""

import argparse
import fcntl
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jars
import pythons
import yaml
from cache import CACHE, digest_of, file_digest, pack, say

HERE = Path(__file__).resolve().parent
VERSIONS = yaml.safe_load((HERE.parent / "group_vars" / "all" / "versions.yml").read_text())
_YOUNG_SECONDS = 3600


@dataclass(frozen=True)
class Artifact:
    """What a host unpacks as /opt/<name>-<version>.

    `make` is given an empty directory and returns the tar's files by their names in it; `verify` looks after what tests
    on this machine run from and is called even when the tar is there.
    """

    name: str
    version: str
    sources: list[Path]
    make: Callable[[Path], dict[str, Path]]
    verify: Callable[[], object] = dict

    def resolve(self) -> dict[str, str]:
        """Return where the tar is and what identifies it, after making it if the sources have changed."""
        self.verify()
        key = digest_of([*self.sources, *HERE.glob("*.py")])[:12]
        tar = CACHE / "tars" / f"{self.name}-{self.version}-{key}.tar"
        checksum = tar.with_suffix(".sha256")
        if not (tar.exists() and checksum.exists() and checksum.read_text() == file_digest(tar)):
            self._clear(tar.parent)
            with tempfile.TemporaryDirectory(dir=CACHE) as directory:
                files = self.make(Path(directory))
                say(f"packing {tar.name}")
                pack(files, tar)
            checksum.write_text(file_digest(tar))
        return {"version": self.version, "tar": str(tar), "digest": checksum.read_text()[:12]}

    def _clear(self, tars: Path) -> None:
        """Remove what this artefact was before; what is young may be on its way to a host."""
        for stale in tars.glob(f"{self.name}-{self.version}-*"):
            if time.time() - stale.stat().st_mtime > _YOUNG_SECONDS:
                stale.unlink(missing_ok=True)


def kafka_jars(version: str) -> jars.Jars:
    """Return the jars of a release of Kafka's."""
    return jars.Jars("kafka", version, VERSIONS)


def connector_jars() -> jars.Jars:
    """Return the jars of Spark's Kafka connector."""
    return jars.Jars("spark-connector", VERSIONS["spark_version"], VERSIONS)


def wheelhouses(name: str, version: str, lock: Path) -> list[Artifact]:
    """Return the wheels of a lock, an artefact for the Python of each release of Debian's."""
    return [
        Artifact(f"{name}-py{python}", version, [lock], partial(pythons.wheelhouse, lock, python))
        for python in sorted({release["python"] for release in VERSIONS["debian_releases"].values()})
    ]


def artifacts(kafka_version: str, *, with_pgadmin: bool) -> list[Artifact]:
    """Return every artefact, in the order in which hosts need them; pgAdmin's only where one is wanted."""
    kafka, connector = kafka_jars(kafka_version), connector_jars()
    spark = VERSIONS["spark_version"]
    app = pythons.app_version()
    return [
        *wheelhouses("wheelhouse", app, pythons.LOCK),
        Artifact("app", app, pythons.app_sources(), pythons.app),
        Artifact(
            "kafka", kafka.version, [kafka.lock, kafka.pom, *jars.kafka_commands()], kafka.with_commands, kafka.files
        ),
        Artifact("spark", spark, [pythons.DEV_LOCK], lambda work: pythons.spark(spark, work)),
        Artifact(
            "spark-connector",
            connector.version,
            [connector.lock, connector.pom],
            lambda _: connector.files(),
            connector.files,
        ),
        *(wheelhouses("pgadmin", pythons.pgadmin_version(), pythons.PGADMIN_LOCK) if with_pgadmin else []),
    ]


def main() -> None:
    """Resolve the named artefacts, or all, and print what a role needs to know of them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="*", help="only these artefacts")
    parser.add_argument(
        "--kafka", metavar="VERSION", default=VERSIONS["kafka_version"], help="another release of Kafka's"
    )
    parser.add_argument("--pgadmin", action="store_true", help="pgAdmin, too, which an inventory may do without")
    parser.add_argument("--lock", action="store_true", help="write the jars' lock files anew instead of obeying them")
    arguments = parser.parse_args()
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            if arguments.lock:
                kafka = [kafka_jars(VERSIONS[name]) for name in ("kafka_version", "kafka_previous_version")]
                for jar_set in [*kafka, connector_jars()]:
                    jar_set.write_lock()
                return
            found = artifacts(arguments.kafka, with_pgadmin=arguments.pgadmin)
            wanted = [one for one in found if not arguments.name or one.name in arguments.name]
            json.dump({one.name: one.resolve() for one in wanted}, sys.stdout, indent=1)
        except subprocess.CalledProcessError as error:
            sys.exit(f"artifacts: {error.cmd[0]} ended with status {error.returncode}; its message is above")


if __name__ == "__main__":
    main()
