"""Damaged exports of annotation tools, which ``labels`` names in the place of a COCO file: XML, JSON, tables, zips."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random

from fuzzing import damage, world
from fuzzing.judge import ANY, Case, check_rest, check_values

Write = Callable[[Path, Path, str], None]
"""(a new folder, the folder of photographs and their coarse.json, the twin's name) -> an export in that folder."""

NAMES = ("cvat", "labelme", "label-studio", "yolo", "deeplabcut", "zip")


def make(place: Path, base: Path, number: int, rng: Random) -> Case:
    """Case ``number``: a copy of the data set in ``place``, one of whose sources has a damaged export."""
    name = NAMES[number % len(NAMES)]
    undamaged(place, base, name)
    root = place / "data" / "export"
    files = sorted(path for path in root.rglob("*") if path.is_file() and path.suffix != ".png")
    file = rng.choice(files)
    original = file.read_bytes()
    if file.suffix == ".json" and rng.random() < 0.6:
        tree = json.loads(original)
        what = damage.structural(tree, rng)
        content = damage.dumped(tree).encode("utf-8", "surrogatepass")
    elif name == "zip" and rng.random() < 0.5:
        content, what = _zipped_otherwise(original, rng)
    else:
        content, what = damage.bytewise(original, rng)
    file.write_bytes(content)
    said = (file.name, "export")
    return Case(f"{name} {file.name}: {what}", [world.CHECK], ANY, said, check_values, check_rest(), name)


def undamaged(place: Path, base: Path, twin: str, write: Write | None = None) -> None:
    """The data set in ``place`` whose first source has its coarse labels from an export, that of ``write``."""
    shutil.copytree(world.dataset(base), place)
    few = world.dataset(base) / "data" / "few"
    made = world.made(base, f"export-{twin}", lambda own: (write or _write)(own, few, twin))
    shutil.copytree(made, place / "data" / "export")
    file = place / "data" / "birds.yaml"
    whole = json.loads(file.read_text())
    (export,) = [path for path in (place / "data" / "export").iterdir() if path.suffix != ".xml" or twin == "cvat"]
    first = whole["sources"][0]
    del first["coco"]
    first["labels"] = f"export/{export.name}" + ("/pose" if twin == "yolo" else "")
    if twin == "yolo":
        first["images"] = f"{first['labels']}/images"
    file.write_text(json.dumps(whole, indent=1))


def _write(own: Path, few: Path, name: str) -> None:
    """The coarse labels of the first photographs as an export in a new folder."""
    from coarseparts.data.conversion import convert

    own.mkdir()
    if name == "deeplabcut":
        return _table(few / "coarse.json", own / "CollectedData_ann.csv")
    to = "cvat" if name == "zip" else name
    ends = {"cvat": ".xml", "label-studio": ".json"}
    made = convert(few / "coarse.json", own / f"export{ends.get(to, '')}", to, few / "images").path
    if name == "yolo":
        shutil.copytree(few / "images", made / "pose" / "images")
        shutil.rmtree(made / "segment", ignore_errors=True)
    if name == "zip":
        with zipfile.ZipFile(own / "export.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(made, "annotations.xml")
        made.unlink()
    return None


def _table(coco: Path, file: Path) -> None:
    whole = json.loads(coco.read_text())
    names = whole["categories"][0]["keypoints"]
    rows = [["scorer"], ["bodyparts"], ["coords"]]
    for name in names:
        for row, value in zip(rows, ("ann", name, None), strict=True):
            row += [value or "x", value or "y"]
    images = {one["id"]: one["file_name"] for one in whole["images"]}
    for entry in whole["annotations"]:
        points = [entry["keypoints"][i : i + 3] for i in range(0, 3 * len(names), 3)]
        rows.append([images[entry["image_id"]]] + [str(v) if point[2] else "" for point in points for v in point[:2]])
    file.write_text("\n".join(",".join(row) for row in rows) + "\n")


def _zipped_otherwise(original: bytes, rng: Random) -> tuple[bytes, str]:
    """The archive with its file under a name, or as often, as no tool writes it."""
    import io

    with zipfile.ZipFile(io.BytesIO(original)) as archive:
        content = archive.read("annotations.xml")
    name = rng.choice(
        ["../out.xml", "/etc/out.xml", "C:\\out.xml", "a/" * 300 + "x.xml", "annotations.xml/", "\x1b[31m.xml"]
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
        if rng.random() < 0.3:
            archive.writestr("bomb.xml", b"0" * 50_000_000)
    return out.getvalue(), f"named {name[:40]!r}"
