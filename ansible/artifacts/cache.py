"""The control node's cache: where it is, digests, and tars that are equal when their content is."""

import hashlib
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("MARKET_PULSE_CACHE") or Path.home() / ".cache" / "market-pulse")


def say(text: str) -> None:
    """Tell the operator what takes time."""
    sys.stderr.write(f"==> {text}\n")
    sys.stderr.flush()


def run(*command: str | Path, **variables: str) -> None:
    """Run a program with its output on standard error; raises `subprocess.CalledProcessError`."""
    subprocess.run(command, check=True, stdout=sys.stderr, env={**os.environ, **variables})


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file as hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(paths: Iterable[Path]) -> str:
    """Return the SHA-256 of the names and content of files of this project, given in any order."""
    lines = sorted(f"{path.relative_to(PROJECT)} {file_digest(path)}\n" for path in paths)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def read_lock(lock: Path) -> dict[str, str]:
    """Return digest by file name from a file in the format of sha256sum."""
    lines = lock.read_text().splitlines() if lock.exists() else []
    return {name: digest for digest, name in (line.split(maxsplit=1) for line in lines)}


def write_lock(lock: Path, files: Iterable[Path]) -> None:
    """Write the files' digests in the format of sha256sum."""
    lock.write_text("".join(f"{file_digest(file)}  {file.name}\n" for file in sorted(files)))


def violations(directory: Path, lock: Path) -> list[str]:
    """Return the names under which a directory's files and a lock disagree: missing, surplus or of other content."""
    expected = read_lock(lock)
    found = {path.name: file_digest(path) for path in directory.iterdir()} if directory.is_dir() else {}
    return sorted({name for name, _ in expected.items() ^ found.items()}) if expected else ["(no lock file)"]


def pack(files: dict[str, Path], tar: Path) -> None:
    """Write a tar owned by root; the same files give the same bytes. A symbolic link stays one."""

    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.uid = info.gid = info.mtime = 0
        info.uname = info.gname = "root"
        info.mode = 0o755 if info.mode & 0o111 else 0o644
        return info

    tar.parent.mkdir(parents=True, exist_ok=True)
    part = tar.with_suffix(".part")
    with tarfile.open(part, "w", format=tarfile.GNU_FORMAT) as archive:
        for name in sorted(files):
            archive.add(files[name], arcname=name, recursive=False, filter=plain)
    part.rename(tar)
