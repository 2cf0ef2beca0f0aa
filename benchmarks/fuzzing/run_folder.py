"""Damaged run folders: every file of a run, a benchmark and a sweep, cut off, exchanged, promising too much."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import yaml

from fuzzing import damage, world
from fuzzing.judge import REFUSED, Case, Values, maps, printed, table

LABELLED = ("predict", "run", "data/val/images", "--out", "maps", "--labels", "data/val/coarse.json")
COMMANDS: dict[str, tuple[str, tuple[str, ...], Values]] = {
    "evaluate": ("train", world.EVALUATE, printed),
    "evaluate-posterior": ("train", (*world.EVALUATE, "--model", "posterior"), printed),
    "predict": ("train", world.PREDICT, maps),
    "predict-labels": ("train", LABELLED, maps),
    "train-again": ("train", world.TRAIN, table("run/results.csv")),
    "benchmark-again": ("benchmark", world.BENCHMARK, table("run/results.csv")),
    "sweep-again": ("sweep", world.SWEEP, table("run/sweep.csv")),
}
"""By the twin's name: whose folder, what is called, what it comes to."""

LARGE = 2**16
"""Bytes from which on a file is linked and not copied; ``damaged`` puts a new one in its place."""


def make(place: Path, base: Path, number: int, rng: Random) -> Case:
    """Case ``number``: a copy of a run with one damaged file or folder, and a command that reads it."""
    rest = number % 20
    name = {17: "benchmark-again", 18: "sweep-again", 19: "benchmark-again"}.get(rest) or rng.choice(
        ["evaluate", "evaluate", "evaluate-posterior", "predict", "predict-labels", "train-again"]
    )
    verb, command, values = COMMANDS[name]
    undamaged(place, base, name)
    target = _target(place / "run", rng)
    relative = str(target.relative_to(place))
    ways = _ways(target)
    way = rng.choice(list(ways))
    other = place / ".other" / target.relative_to(place)
    if way == "of another run":
        _copy(world.trained(base, verb, "-other") / "run", place / ".other" / "run")
        if not other.exists():  # a folder named by a hash
            way = "empty"
    what = ways[way](target, rng)
    shutil.rmtree(place / ".other", ignore_errors=True)
    foreign = way == "of another run" or target.suffix == ".yaml"
    return Case(
        f"{name}: {relative} {way}{f' ({what})' if what else ''}",
        [command],
        REFUSED,
        (relative, str(Path(relative).parent)),
        values,
        user=("data",) if (target.name, way) == ("store", "a link out") else ("data", "outside"),  # a cache may be one
        twin=name,
        statuses=(0, 1, 2) if foreign else (0, 2),  # a run of other settings is no damaged one
    )


def undamaged(place: Path, base: Path, name: str) -> None:
    """The folder that a command of ``COMMANDS`` is called in."""
    _copy(world.trained(base, COMMANDS[name][0]), place)
    (place / "outside").mkdir()


def _copy(source: Path, target: Path) -> None:
    def copy(one: str, other: str) -> None:
        (os.link if os.stat(one).st_size > LARGE else shutil.copy2)(one, other)

    shutil.copytree(source, target, copy_function=copy)


def _target(run: Path, rng: Random) -> Path:
    """A file or folder of a run: first a kind, then one of it, so that the store's arrays do not take all."""
    kinds: dict[str, list[Path]] = {}
    for path in sorted(run.rglob("*")):
        inside = path.relative_to(run).parts
        if "tensorboard" in inside or path.name.startswith(".lock"):
            continue
        kind = "folder" if path.is_dir() else "store" if {"store", "data"} & {*inside} else path.name
        kinds.setdefault("progress" if "progress" in inside and path.is_file() else kind, []).append(path)
    return rng.choice(kinds[rng.choice(sorted(kinds))])


Way = Callable[[Path, Random], str]


def _ways(target: Path) -> dict[str, Way]:
    if target.is_dir():
        return {"missing": _missing, "a file": _as_file, "a link out": _link_out, "a dangling link": _dangling}
    ways: dict[str, Way] = {
        "cut off": _cut_off,
        "empty": lambda path, rng: _put(path, b""),
        "bytes": _bytes,
        "bytes ": _bytes,
        "zeros": lambda path, rng: _put(path, bytes(min(path.stat().st_size, 2**20))),
        "of another run": _of_another,
        "a folder": _folder,
        "a link out": _link_out,
        "a dangling link": _dangling,
        "a link to itself": _loop,
        "a pipe": _pipe,
        "missing": _missing,
    }
    if target.suffix == ".safetensors":
        ways |= {"promises": _promises, "no numbers": _no_numbers, "other shapes": _other_shapes, "NaN": _no_numbers}
    if target.suffix in (".npz", ".npy"):
        ways |= {"promises": _promises_array}
    if target.suffix == ".json":
        ways |= {"tree": _tree, "tree ": _tree, "names": _names}
    if target.suffix == ".yaml":
        ways |= {"tree": _tree, "tree ": _tree}
    return ways


def _put(path: Path, content: bytes) -> str:
    path.unlink()  # it may be a link to the undamaged one
    path.write_bytes(content)
    return ""


def _cut_off(path: Path, rng: Random) -> str:
    content = path.read_bytes()
    at = rng.choice([len(content) - 1, rng.randrange(len(content)) if content else 0, min(len(content), 10)])
    _put(path, content[: max(0, at)])
    return f"at {at} of {len(content)}"


def _bytes(path: Path, rng: Random) -> str:
    content = path.read_bytes()
    damaged, what = damage.bytewise(content, rng) if content else (b"\0", "a byte")
    _put(path, damaged)
    return what


def _of_another(path: Path, rng: Random) -> str:
    parts = path.parts
    at = len(parts) - 1 - parts[::-1].index("run")
    return _put(path, Path(*parts[:at], ".other", *parts[at:]).read_bytes())


def _folder(path: Path, rng: Random) -> str:
    path.unlink()
    path.mkdir()
    return ""


def _outside(path: Path) -> Path:
    parts = path.parts
    at = len(parts) - 1 - parts[::-1].index("run")
    return Path(*parts[:at], "outside")


def _link_out(path: Path, rng: Random) -> str:
    outside = _outside(path) / path.name
    if path.is_dir():
        shutil.copytree(path, outside)
        shutil.rmtree(path)
    else:
        shutil.copy(path, outside)
        path.unlink()
    path.symlink_to(outside)
    return ""


def _dangling(path: Path, rng: Random) -> str:
    _missing(path, rng)
    path.symlink_to(_outside(path) / "nothing")
    return ""


def _loop(path: Path, rng: Random) -> str:
    path.unlink()
    path.symlink_to(path.name)
    return ""


def _pipe(path: Path, rng: Random) -> str:
    path.unlink()
    os.mkfifo(path)
    return ""


def _missing(path: Path, rng: Random) -> str:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    return ""


def _as_file(path: Path, rng: Random) -> str:
    shutil.rmtree(path)
    path.write_bytes(b"a file")
    return ""


def _promises(path: Path, rng: Random) -> str:
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    if rng.random() < 0.5:
        _put(path, struct.pack("<Q", rng.choice([10**13, 2**63, 2**64 - 1])) + content[8:])
        return "a header of 10 TB"
    name = next(key for key in header if key != "__metadata__")
    header[name] = {"dtype": "F32", "shape": [10**13], "data_offsets": [0, 4 * 10**13]}
    said = json.dumps(header).encode()
    _put(path, struct.pack("<Q", len(said)) + said + content[8 + size :])
    return "a tensor of 40 TB"


def _no_numbers(path: Path, rng: Random) -> str:
    content = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    floats = [at["data_offsets"] for key, at in header.items() if key != "__metadata__" and at["dtype"] == "F32"]
    first, end = rng.choice([at for at in floats if at[1] > at[0]])
    value = struct.pack("<f", rng.choice([float("nan"), float("inf"), float("-inf")]))
    content[start + first : start + end] = value * ((end - first) // 4)
    _put(path, bytes(content))
    return "a tensor of no numbers"


def _other_shapes(path: Path, rng: Random) -> str:
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    names = [key for key in header if key != "__metadata__"]
    name = rng.choice(names)
    way = rng.choice(["flat", "renamed", "type"])
    if way == "flat":
        size = 1
        for side in header[name]["shape"]:
            size *= side
        header[name]["shape"] = [size, 1, 1]
    elif way == "renamed":
        header[f"{name}.more"] = header.pop(name)
    else:
        header[name]["dtype"] = "I32" if header[name]["dtype"] == "F32" else "F64"
    said = json.dumps(header).encode()
    _put(path, struct.pack("<Q", len(said)) + said + content[start:])
    return f"{name} {way}"


def _promises_array(path: Path, rng: Random) -> str:
    said = b"{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000000,), }"
    said = said.ljust(117) + b"\n"
    array = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(said)) + said + bytes(64)
    if path.suffix == ".npy":
        _put(path, array)
        return "10**13 numbers"
    import zipfile

    with zipfile.ZipFile(path) as there:
        contents = {name: there.read(name) for name in there.namelist()}
    contents[rng.choice(list(contents))] = array
    path.unlink()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return "an array of 10**13 numbers"


def _tree(path: Path, rng: Random) -> str:
    """A structural damage; for YAML written as JSON, which it includes."""
    text = path.read_text()
    tree: Any = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    what = damage.structural(tree, rng)
    _put(path, damage.dumped(tree).encode("utf-8", "surrogatepass"))
    return what


def _names(path: Path, rng: Random) -> str:
    """Part or keypoint names that do not fit the weights or the data."""
    tree = json.loads(path.read_text())
    holder = tree.get("schema", tree)
    key = rng.choice(["parts", "keypoints"])
    names = holder.get(key) if isinstance(holder, dict) else None
    if not isinstance(names, list) or not names:
        return _tree(path, rng)
    way = rng.choice(["one less", "one more", "renamed", "reordered", "none", "300", "twins"])
    holder[key] = {
        "one less": names[:-1],
        "one more": [*names, "nose"],
        "renamed": ["nose", *names[1:]],
        "reordered": names[::-1],
        "none": [],
        "300": [f"name {i}" for i in range(300)],
        "twins": [names[0], *names[:-1]],
    }[way]
    _put(path, json.dumps(tree).encode())
    return f"{key} {way}"
