"""Damaged projects of SLEAP: bytes, tables of HDF5, and the JSON in them. Needs ``pip install 'coarseparts[formats]'``,
for without sleap-io every project ends in the same line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from fuzzing import damage, exports, world
from fuzzing.judge import ANY, Case, check_rest, check_values

FILE = "ants.slp"

NUMBERS = (0, -1, 1, 255, 2**31 - 1, 2**62, -(2**63), 1e300, 1e-300, float("nan"), float("inf"), float("-inf"))


def make(place: Path, base: Path, number: int, rng: Random) -> Case:
    """Case ``number``: a copy of the data set in ``place``, one of whose sources has a damaged project."""
    undamaged(place, base, "sleap")
    file = place / "data" / "export" / FILE
    if rng.random() < 0.4:
        content, what = damage.bytewise(file.read_bytes(), rng)
        file.write_bytes(content)
    else:
        what = _inside(file, rng)
    return Case(f"{FILE}: {what}", [world.CHECK], ANY, (FILE, "export"), check_values, check_rest(), "sleap")


def undamaged(place: Path, base: Path, twin: str) -> None:
    """The data set in ``place`` whose first source has its keypoints from a project."""
    exports.undamaged(place, base, twin, _write)


def _write(own: Path, few: Path, _: str) -> None:
    own.mkdir()
    world.in_a_child(lambda: project(few / "coarse.json", own / FILE))


def project(coco: Path, file: Path) -> None:
    """The keypoints of a COCO file as a project."""
    import sleap_io

    whole = json.loads(coco.read_text())
    names = whole["categories"][0]["keypoints"]
    images = {one["id"]: one["file_name"] for one in whole["images"]}
    skeleton = sleap_io.Skeleton(list(names), name=whole["categories"][0]["name"])
    video = sleap_io.Video.from_filename([str(coco.parent / "images" / name) for name in images.values()])
    frames = []
    for entry in whole["annotations"]:
        points = np.array(entry["keypoints"], float).reshape(-1, 3)
        points[points[:, 2] == 0] = np.nan
        instance = sleap_io.Instance.from_numpy(points[:, :2], skeleton=skeleton)
        place = [*images].index(entry["image_id"])
        frames.append(sleap_io.LabeledFrame(video=video, frame_idx=place, instances=[instance]))
    sleap_io.Labels(frames).save(str(file), verbose=False)


def _inside(path: Path, rng: Random) -> str:
    """Damages one thing in a project; says what."""
    import h5py

    with h5py.File(path, "r+") as file:
        ways: list[Callable[[Any, Random], str]] = [_number, _number, _text, _metadata, _table, _link]
        return rng.choice(ways)(file, rng)


def _number(file: Any, rng: Random) -> str:
    table = rng.choice(["frames", "instances", "points"])
    rows = file[table][()]
    row, field = rng.randrange(len(rows)), rng.choice(rows.dtype.names)
    value = rng.choice(NUMBERS)
    with np.errstate(all="ignore"):
        rows[field][row] = np.array(value).astype(rows.dtype[field])
    file[table][...] = rows
    return f"{table}[{row}].{field} = {value}"


def _text(file: Any, rng: Random) -> str:
    table = rng.choice(["videos_json", "tracks_json", "suggestions_json", "sessions_json"])
    rows = file[table][()]
    tree = json.loads(rows[0]) if len(rows) else {"a": 1}
    what = damage.structural(tree, rng)
    del file[table]
    text = damage.dumped(tree).encode("utf-8", "replace").replace(b"\0", b"")
    file[table] = np.array([text], dtype=object) if rng.random() < 0.8 else np.array([len(text)])
    return f"{table}: {what}"


def _metadata(file: Any, rng: Random) -> str:
    if rng.random() < 0.2:
        value = rng.choice([*NUMBERS, "1.2", b"\xff"])
        file["metadata"].attrs["format_id"] = value
        return f"format_id = {value!r}"
    tree = json.loads(file["metadata"].attrs["json"])
    what = damage.structural(tree, rng)
    text = damage.dumped(tree).encode("utf-8", "replace")
    file["metadata"].attrs["json"] = np.bytes_(text[:60_000])
    return f"metadata: {what}"


def _table(file: Any, rng: Random) -> str:
    table = rng.choice([*file])
    rows = file[table][()] if hasattr(file[table], "shape") else None
    del file[table]
    if rows is None or rng.random() < 0.4:
        return f"without {table}"
    rows = rows.astype("S") if rows.dtype.hasobject else rows
    others = {
        "cut": rows[: len(rows) // 2],
        "twice": np.concatenate([rows, rows]),
        "as text": np.array([b"a", b"b"]),
        "as a number": np.array(7),
        "of two dimensions": np.zeros((3, 3)),
        "as a group": None,
    }
    what = rng.choice([*others])
    if others[what] is None:
        file.create_group(table)
    else:
        file[table] = others[what]
    return f"{table} {what}"


def _link(file: Any, rng: Random) -> str:
    import h5py

    table = rng.choice([*file])
    del file[table]
    outside = rng.random() < 0.5
    file[table] = h5py.ExternalLink("/etc/passwd", "/x") if outside else h5py.SoftLink(rng.choice([f"/{table}", "/"]))
    return f"{table} is a link {'to another file' if outside else 'inside'}"
