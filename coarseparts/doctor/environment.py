"""Versions, extras, devices and folders of this machine. No path that would name its owner."""

from __future__ import annotations

import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

PACKAGE = "coarseparts"


def versions() -> dict[str, str]:
    """Of Python, the system, this package and what it always needs; "missing" of what is not installed."""
    found = {"python": platform.python_version(), "system": f"{platform.system()} {platform.release()}"}
    found[PACKAGE] = _version(PACKAGE)
    return found | {name: _version(name) for name, extra in _requirements() if not extra}


def extras() -> dict[str, str]:
    """By extra: "installed", or the command that installs what is missing of it, and what that is."""
    needed: dict[str, list[str]] = {}
    for name, extra in _requirements():
        if extra and name != PACKAGE:
            needed.setdefault(extra, []).append(name)
    found = {}
    for extra, names in needed.items():
        lacking = [name for name in names if _version(name) == MISSING]
        command = f"pip install '{PACKAGE}[{extra}]'"
        found[extra] = f"{command}  (lacks {', '.join(lacking)})" if lacking else "installed"
    return found


def devices() -> dict[str, str]:
    """Processors, threads and GPUs, as torch sees them, and in which format networks compute there."""
    import torch  # here: without it the rest can be told

    from coarseparts.networks import fastest

    found = {
        "cpu": f"{platform.machine()}, {os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}",
        "threads": str(torch.get_num_threads()),
        "cpu computes in": fastest("cpu"),
        "gpu": "none that torch sees" + ("" if torch.version.cuda else " (this torch is built for CPUs)"),
    }
    for i in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(i)
        name = "gpu" if i == 0 else f"gpu {i}"
        found[name] = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"
        found[f"{name} computes in"] = fastest(f"cuda:{i}")
    return found


def folders() -> dict[str, tuple[str, bool]]:
    """By use: what to print of a folder, and whether a file can be written there."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    hub = Path(os.environ.get("HF_HOME") or cache / "huggingface")
    places = {"here": Path.cwd(), "temporary files": Path(tempfile.gettempdir()), "downloaded weights": hub}
    return {use: _folder(use, place) for use, place in places.items()}


def private(text: str) -> str:
    """A text in which the home folder is "~"."""
    home = os.path.expanduser("~")
    return text if home in ("", "/") else text.replace(home, "~")


MISSING = "missing"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return MISSING


def _requirements() -> Iterator[tuple[str, str]]:
    """(name, extra that needs it or "") as this package's own metadata says."""
    try:
        lines = requires(PACKAGE) or []
    except PackageNotFoundError:
        lines = []
    for line in lines:
        name = re.match(r"[A-Za-z0-9._-]+", line)
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", line)
        if name:
            yield name[0], extra[1] if extra else ""


def _folder(use: str, place: Path) -> tuple[str, bool]:
    there = place
    while not there.exists() and there != there.parent:
        there = there.parent  # what is made at need is made in here
    try:
        with tempfile.TemporaryFile(dir=there):
            writable = True
    except OSError:
        writable = False
    shown = private(str(place))
    if use == "here":
        shown = "."
    elif not shown.startswith(("~", tempfile.gettempdir())):
        shown = f".../{place.name}"
    try:
        free = f"{shutil.disk_usage(there).free / 1e9:.1f} GB free"
    except OSError:
        free = "free space unknown"
    return f"{shown}, {'writable' if writable else 'NOT writable'}, {free}", writable
