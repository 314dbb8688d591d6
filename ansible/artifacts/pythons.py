"""Python's part: wheels for the hosts' interpreters, the project's own wheel, and Spark, which PyPI has as pyspark."""

import configparser
import hashlib
import re
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from cache import CACHE, PROJECT, run, say, violations, write_lock

HERE = Path(__file__).resolve().parent
LOCK = HERE / "requirements.lock"
DEV_LOCK = HERE / "requirements-dev.lock"
# Its dependencies are many, and never beside ours: an environment of its own has them.
PGADMIN, PGADMIN_LOCK = HERE / "pgadmin.in", HERE / "pgadmin.lock"
_HOUSES = {LOCK: "", PGADMIN_LOCK: "pgadmin-"}
_PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "-q")
_UV = str(Path(sys.executable).with_name("uv"))
# Debian 12, the oldest host, has glibc 2.36; no wheel asks for more than 2.28.
_PLATFORMS = [f"--platform=manylinux_2_{minor}_x86_64" for minor in (5, 12, 17, 24, 26, 27, 28)]
# Wheels are zip archives, and those know no time before 1980.
_EPOCH = "315532800"
_SPARK_PARTS = ("bin", "jars", "licenses", "python")


def app_version() -> str:
    """Return the version of this project."""
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(PROJECT / "setup.cfg")
    return setup["metadata"]["version"]


def pgadmin_version() -> str:
    """Return the version of pgAdmin that hosts run."""
    (version,) = re.findall(r"^pgadmin4==(\S+)$", PGADMIN.read_text(), re.MULTILINE)
    return version


def app_sources() -> list[Path]:
    """Return the files that reach the hosts as this project's own code."""
    code = (("daemons", "*.py"), ("daemons/market_pulse/web/static", "*.*"), ("spark_app", "*.py"))
    folders = (*code, ("pgadmin_app", "*.py"), ("sql", "*.*"))
    found = [path for folder, pattern in folders for path in (PROJECT / folder).rglob(pattern)]
    return [PROJECT / "setup.cfg", PROJECT / "pyproject.toml", *found]


def app(work: Path) -> dict[str, Path]:
    """Return the project's wheel and, by their names under /opt/market-pulse, what other programs read of it."""
    say("building this project's wheel")
    tree = work / "tree"
    for source in [*app_sources(), PROJECT / "README.md", PROJECT / "LICENSE"]:
        target = tree / source.relative_to(PROJECT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    build_wheel(tree, work)
    (wheel,) = work.glob("*.whl")
    plain = [path for folder in ("spark_app", "pgadmin_app") for path in (PROJECT / folder).glob("*.py")]
    plain += (PROJECT / "sql").rglob("*.*")
    return {f"dist/{wheel.name}": wheel} | {str(path.relative_to(PROJECT)): path for path in plain}


def wheelhouse(lock: Path, python: str, work: Path) -> dict[str, Path]:
    """Return a lock's wheels for one version of Python on x86_64, by their names in the wheelhouse."""
    house = CACHE / "wheelhouse" / f"{_HOUSES[lock]}py{python}"
    sums = house.with_name(f"{house.name}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}.sha256")
    if violations(house, sums):
        say(f"fetching the wheels of {lock.name} for Python {python}")
        wheels, pins = work / "wheels", work / "pins.txt"
        target = [f"--python-version={python}", "--python-platform=x86_64-manylinux_2_28"]
        run(_UV, "pip", "compile", "-q", "--no-deps", "--generate-hashes", *target, lock, "-o", pins)
        interpreter = ["--implementation=cp", f"--python-version={python}", f"--abi=cp{python.replace('.', '')}"]
        options = ["--no-deps", "--no-build-isolation", "--require-hashes", "--abi=abi3", "--abi=none"]
        run(*_PIP, "download", *options, *interpreter, *_PLATFORMS, "-r", pins, "-d", wheels)
        for source in wheels.glob("*.tar.gz"):
            build_wheel(source, wheels)
            source.unlink()
        if bound := [wheel.name for wheel in wheels.glob("*linux_x86_64.whl") if "manylinux" not in wheel.name]:
            sys.exit(f"artifacts: built for this machine alone: {', '.join(bound)}")
        shutil.rmtree(house, ignore_errors=True)
        house.parent.mkdir(parents=True, exist_ok=True)
        wheels.rename(house)
        write_lock(sums, house.iterdir())
    return {wheel.name: wheel for wheel in house.iterdir()}


def spark(version: str, work: Path) -> dict[str, Path]:
    """Return the parts of pyspark's wheel that are the Spark distribution, by their names under /opt/spark."""
    wheel = CACHE / "wheels" / f"pyspark-{version}-py2.py3-none-any.whl"
    if not wheel.exists():
        sys.exit(f"artifacts: {wheel} is missing; ansible/bootstrap.sh builds it")
    say(f"unpacking {wheel.name}")
    files = {}
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            _, _, name = member.filename.partition("/")
            if member.filename.startswith("pyspark/") and name.split("/")[0] in _SPARK_PARTS:
                files[name] = Path(archive.extract(member, work))
                files[name].chmod(member.external_attr >> 16)
    return files


def build_wheel(source: Path, directory: Path) -> None:
    """Build a wheel from a source tree or archive with the setuptools of this environment, the same bytes each time."""
    with tempfile.TemporaryDirectory() as empty:
        options = ["--no-deps", "--no-index", f"--find-links={empty}", "--no-build-isolation", "--use-pep517"]
        run(*_PIP, "wheel", *options, source, "-w", directory, SOURCE_DATE_EPOCH=_EPOCH)
