"""What the bench alone needs, fetched by itself into a folder of its own in the cache, and checked against a lock.

``locks/<name>.in`` names Python packages and ``locks/<name>.lock`` their closure with hashes; ``locks/<name>/pom.xml``
names jars and ``locks/<name>.sha256`` what each must be. ``python tests/bench/tools.py NAME…`` writes these locks anew.
"""

import hashlib
import re
import shutil
import sys
import tempfile
from pathlib import Path

from cache import CACHE, run, say, violations, write_lock

_LOCKS = Path(__file__).parent / "locks"
_FETCHED = CACHE / "bench"
_UV = Path(sys.executable).with_name("uv")
_OPTIONS = ["--universal", "--python-version=3.11", "--generate-hashes", "--no-annotate", "--no-header"]


def python_of(name: str) -> Path:
    """Return the interpreter of the environment that has a lock's packages; install them if it has not."""
    lock, folder = _LOCKS / f"{name}.lock", _FETCHED / name
    python, stamp = folder / "bin" / "python", folder / ".stamp"
    want = hashlib.sha256(lock.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != want:
        say(f"installing {name} for the bench")
        run(_UV, "venv", "-q", "--clear", "--python", sys.executable, folder)
        run(_UV, "pip", "install", "-q", "--python", python, "--require-hashes", "--no-deps", "-r", lock)
        stamp.write_text(want)
    return python


def jars_of(name: str) -> Path:
    """Return the folder with a pom's jars, and nothing else; fetch them if the cache is not as locked.

    Raises:
        SystemExit: what came is not what is locked.
    """
    lock, libs = _LOCKS / f"{name}.sha256", _FETCHED / name / "libs"
    if violations(libs, lock):
        _fetch(name, libs)
        if wrong := violations(libs, lock):
            sys.exit(f"bench: not what {lock.name} says, so not used: {', '.join(wrong)}")
    return libs


def version_of(lock: str, name: str) -> str:
    """Return the version of a package or jar that a lock has.

    Raises:
        ValueError: it does not have it once.
    """
    (path,) = (*_LOCKS.glob(f"{lock}.lock"), *_LOCKS.glob(f"{lock}.sha256"))
    found = re.findall(rf"^(?:{name}==|\w+  {name}-)(\d\S*?)(?:\.jar)?(?: .*)?$", path.read_text(), re.MULTILINE)
    if len(found) != 1:
        raise ValueError(f"{path.name} has of {name}: {', '.join(found) or 'nothing'}")
    return str(found[0])


def _fetch(name: str, libs: Path) -> None:
    say(f"fetching the jars of {name} for the bench with Maven")
    libs.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=libs.parent) as directory:
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={directory}/libs"]
        run("mvn", "-q", "-B", "-f", _LOCKS / name / "pom.xml", *goal)
        shutil.rmtree(libs, ignore_errors=True)
        Path(directory, "libs").rename(libs)


def _write_lock(name: str) -> None:
    if (_LOCKS / f"{name}.in").exists():
        run(_UV, "pip", "compile", "-q", *_OPTIONS, _LOCKS / f"{name}.in", "-o", _LOCKS / f"{name}.lock")
    else:
        libs = _FETCHED / name / "libs"
        _fetch(name, libs)
        write_lock(_LOCKS / f"{name}.sha256", libs.iterdir())


if __name__ == "__main__":
    for tool in sys.argv[1:]:
        _write_lock(tool)
