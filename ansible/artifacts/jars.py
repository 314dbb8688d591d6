"""Jars by their Maven coordinates: `<name>/pom.xml` says which, `<name>-<version>.sha256` what each must be."""

import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cache import CACHE, run, say, violations, write_lock

HERE = Path(__file__).resolve().parent
_DISPATCHER, _COMMANDS = "kafka-run.sh", "kafka-commands.txt"


def kafka_commands() -> list[Path]:
    """Return the files that are Kafka's bin folder."""
    return sorted((HERE / "kafka" / "bin").iterdir())


@dataclass(frozen=True)
class Jars:
    """The jars of one pom.xml, kept in the cache as <name>-<version>/libs."""

    name: str
    version: str
    versions: Mapping[str, object]

    @property
    def pom(self) -> Path:
        """Which jars: direct dependencies by coordinates, versions as properties."""
        return HERE / self.name / "pom.xml"

    @property
    def lock(self) -> Path:
        """What each jar must be."""
        return HERE / f"{self.name}-{self.version}.sha256"

    @property
    def libs(self) -> Path:
        """Where the jars are."""
        return CACHE / f"{self.name}-{self.version}" / "libs"

    def files(self) -> dict[str, Path]:
        """Return the verified jars by their names on a host, after fetching them if the cache is not as locked."""
        if not self.lock.exists():
            known = sorted(lock.stem.removeprefix(f"{self.name}-") for lock in HERE.glob(f"{self.name}-*.sha256"))
            sys.exit(f"artifacts: {self.name} {self.version} is not locked: it must be {' or '.join(known)}")
        if violations(self.libs, self.lock):
            self._fetch()
            if wrong := violations(self.libs, self.lock):
                shutil.rmtree(self.libs)
                sys.exit(f"artifacts: not what {self.lock.name} says, so not used: {', '.join(wrong)}")
        return {f"libs/{jar.name}": jar for jar in self.libs.iterdir()}

    def with_commands(self, work: Path) -> dict[str, Path]:
        """Return the jars and Kafka's bin folder, in which every command is a link to the one dispatcher."""
        commands = {f"bin/{file.name}": file for file in kafka_commands()}
        for line in commands[f"bin/{_COMMANDS}"].read_text().splitlines():
            link = work / line.split()[0]
            link.symlink_to(_DISPATCHER)
            commands[f"bin/{link.name}"] = link
        return commands | self.files()

    def write_lock(self) -> None:
        """Fetch the jars, take them for right, and write that down."""
        self._fetch()
        write_lock(self.lock, self.libs.iterdir())

    def _fetch(self) -> None:
        say(f"fetching the jars of {self.name} {self.version} with Maven")
        self.libs.parent.mkdir(parents=True, exist_ok=True)
        versions = {**self.versions, f"{self.name}_version": self.version}
        properties = [f"-D{key.replace('_', '.')}={value}" for key, value in versions.items() if "version" in key]
        with tempfile.TemporaryDirectory(dir=self.libs.parent) as directory:
            goal = ["dependency:copy-dependencies", f"-DoutputDirectory={directory}/libs"]
            run("mvn", "-q", "-B", "-f", self.pom, *properties, *goal)
            shutil.rmtree(self.libs, ignore_errors=True)
            Path(directory, "libs").rename(self.libs)
