"""Builds the wheel and the source archive into a folder, the same bytes whenever and wherever one commit is built.

usage: python benchmarks/build.py FOLDER

Every file is dated by the commit (SOURCE_DATE_EPOCH), and the source archive, in which setuptools leaves dates and
owners of the machine, is packed once more without them. Prints the SHA-256 of both.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def commit_date() -> int:
    """Seconds since 1970 of the commit; of an archive without history those of SOURCE_DATE_EPOCH, or 1980."""
    done = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True)
    return int(done.stdout) if done.returncode == 0 else int(os.environ.get("SOURCE_DATE_EPOCH", "315532800"))


def build(folder: Path, date: int) -> list[Path]:
    """The wheel and the source archive in ``folder``, built from a copy of the tree, so that nothing is left in it."""
    with tempfile.TemporaryDirectory() as work:
        copy = Path(work) / "tree"
        names = (".git", ".venv", "__pycache__", "*.egg-info", "build", "dist", "runs", "_build")
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*names), symlinks=True)
        for path in (copy, *copy.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() else 0o644)
        environment = os.environ | {"SOURCE_DATE_EPOCH": str(date), "PYTHONHASHSEED": "0"}
        environment.pop("PYTHONPATH", None)
        command = [sys.executable, "-m", "build", "--outdir", f"{work}/dist", str(copy)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stdout[-2000:] + done.stderr[-2000:])
        folder.mkdir(parents=True, exist_ok=True)
        made = []
        for file in sorted(Path(work, "dist").iterdir()):
            made.append(folder / file.name)
            if file.suffix == ".gz":
                made[-1].write_bytes(repacked(file, date))
            else:
                shutil.copyfile(file, made[-1])
        return made


def repacked(file: Path, date: int) -> bytes:
    """A source archive with its members by name, dated ``date``, and nobody's."""
    packed = io.BytesIO()
    with (
        tarfile.open(file) as old,
        gzip.GzipFile(fileobj=packed, mode="wb", filename="", mtime=date) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        for member in sorted(old.getmembers(), key=lambda one: one.name):
            member.mtime, member.uid, member.gid, member.uname, member.gname = date, 0, 0, "", ""
            member.pax_headers = {}
            new.addfile(member, old.extractfile(member) if member.isfile() else None)
    return packed.getvalue()


if __name__ == "__main__":
    for path in build(Path(sys.argv[1]), commit_date()):
        print(hashlib.sha256(path.read_bytes()).hexdigest(), path.name)
