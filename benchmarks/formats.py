"""Labels in and out, as other tools' libraries judge them, and how fast they are read.

    python benchmarks/formats.py --judges PYTHON,PYTHON [--quick] [--out FOLDER] [--only NAME --log FILE]

Made-up ants are written by each tool's own library and read by us; written by us and read by the library;
written and read by us. Masks have to agree by an IoU of 0.99, keypoints and boxes within half a pixel, visibilities and
groups in all. Then exports of 5,000 images with 10,000 annotations are read and joined to objects, in a process each,
the photographs being there: seconds, CPU seconds, memory beyond what the process held before. ``--judges``: Pythons
that have datumaro, labelme, label-studio-sdk, cvat-sdk, sleap-io, supervision, pandas or pycocotools, in environments
of their own; who is not there is not asked. ``--quick``: no speed. ``--only NAME;NAME --log FILE``: some formats, with
the other rows of an earlier log's table.

Prints what was found and, last, the table of docs/coverage.md. Exit status 1 where something that a format has a place
for did not arrive.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
from judging.speed import in_a_process, made
from judging.truth import PARTS, Fact, Verdict, document, facts, judged, of_judge
from PIL import Image
from pycocotools import mask as coco_mask
from rates import processor

from coarseparts.data.conversion import losses
from coarseparts.data.formats.document import Document
from coarseparts.data.formats.labelmap import read_labelmap
from coarseparts.data.formats.part_masks import read_part_files
from coarseparts.data.formats.registry import read_export, write_export

ASKS = Path(__file__).with_name("judging") / "asks.py"
IMAGES = 12

Wanted = Callable[[Fact], bool]


@dataclass(frozen=True)
class Format:
    """A row of the table. ``writes``, ``reads``: what a judge is asked, its library, and what of the truth it has a
    place for; ``export``: our writer's name, "" for none; ``kept``: what the format itself has a place for;
    ``grouped``, ``visible``: whether it says which labels are one object, and which keypoints are hidden; ``nameless``:
    keypoints have no category there; ``below``: which folder of the export; ``speed``: name of what is timed."""

    name: str
    export: str = ""
    writes: tuple[str, str, Wanted] | None = None
    reads: tuple[str, str, Wanted] | None = None
    kept: Wanted = lambda fact: True
    grouped: bool = True
    visible: bool = True
    nameless: bool = False
    below: str = ""
    speed: str = ""


def _drawn(fact: Fact) -> bool:
    return fact.kind != "points"


def _posed(fact: Fact) -> bool:
    return fact.kind == "points"


def _masks(fact: Fact) -> bool:
    return fact.kind == "mask"


def _all(fact: Fact) -> bool:
    return True


FORMATS = (
    Format("COCO", "coco", ("coco_written", "datumaro", _drawn), ("coco_read", "pycocotools", _all), speed="coco"),
    Format(
        "CVAT for images",
        "cvat",
        ("cvat_written", "datumaro", lambda fact: fact.label in PARTS or fact.kind == "box"),
        ("cvat_read", "datumaro", _drawn),
        speed="cvat",
    ),
    Format(
        "CVAT for images, masks",
        "cvat",
        ("cvat_masks_written", "cvat_sdk", lambda fact: fact.label == "body"),
        ("cvat_masks_read", "cvat_sdk", lambda fact: fact.label == "body"),
        kept=lambda fact: fact.label == "body",
    ),
    Format(
        "labelme",
        "labelme",
        ("labelme_written", "labelme", _all),
        ("labelme_read", "labelme", _all),
        nameless=True,
        speed="labelme",
    ),
    Format(
        "Label Studio",
        "label-studio",
        ("label_studio_written", "label_studio_sdk", _all),
        ("label_studio_read", "label_studio_sdk", _all),
        nameless=True,
        speed="label-studio",
    ),
    Format(
        "YOLO pose",
        "yolo",
        ("yolo_written", "sleap_io", _posed),
        ("yolo_read", "sleap_io", _posed),
        lambda fact: fact.label == "ant",
        grouped=False,
        below="pose",
        speed="yolo-pose",
    ),
    Format(
        "YOLO segment",
        "yolo",
        ("yolo_segment_written", "supervision", lambda fact: fact.label in PARTS),
        ("yolo_segment_read", "supervision", _masks),
        kept=_masks,
        grouped=False,
        below="segment",
        speed="yolo-segment",
    ),
    Format(
        "DeepLabCut",
        writes=("deeplabcut_written", "pandas", _posed),
        grouped=False,
        visible=False,
        nameless=True,
        speed="deeplabcut",
    ),
    Format(
        "SLEAP",
        writes=("sleap_written", "sleap_io", _posed),
        grouped=False,
        visible=False,
        nameless=True,
        speed="sleap",
    ),
    Format("masks with labelmap.txt", writes=("voc_written", "datumaro", lambda fact: fact.label == "body")),
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--judges", default="", help="Pythons with other tools' libraries, separated by commas")
    parser.add_argument("--quick", action="store_true", help="judge only: no speed")
    parser.add_argument("--only", default="", help="formats, separated by semicolons; needs --log")
    parser.add_argument("--log", type=Path, help="an earlier log, from whose table the rows of other formats are")
    parser.add_argument("--out", type=Path, help="folder of the exports that are timed, kept")
    given = parser.parse_args(arguments)
    judges = [judge for judge in given.judges.split(",") if judge]
    print(f"python benchmarks/formats.py {' '.join(sys.argv[1:] if arguments is None else arguments)}".rstrip())
    print(f"{processor()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
    places = [path for judge in judges for path in _packages(judge)]
    sys.path += places  # last: SLEAP's projects are read through sleap-io, and all else is our own environment's
    rows, failed = _earlier(given.log), False
    only = [name.strip() for name in given.only.split(";") if name.strip()] or [one.name for one in FORMATS]
    with tempfile.TemporaryDirectory() as place:
        for one in (one for one in FORMATS if one.name in only):
            own = Path(place)
            cells = [_read(one, judges, own), _written(one, judges, own), *_round_trip(one, own)]
            failed |= any(cell.startswith("NO") for cell in cells)
            cells.append(_timed(one, given.out or Path(place) / "speed", places) if not given.quick else "")
            before = rows.get(one.name, [])
            rows[one.name] = [*cells[:-1], cells[-1] or (before[-1] if before else "")]
    print()
    print("\n".join(table([[one.name, *rows[one.name]] for one in FORMATS if one.name in rows])))
    return int(failed)


def _earlier(log: Path | None) -> dict[str, list[str]]:
    """The rows of the table in an earlier log, by their formats; of ``--quick`` runs its speeds stay."""
    lines = log.read_text().splitlines() if log else []
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return {name: cells for name, *cells in rows if any(name == one.name for one in FORMATS)}


HEADS = ("format", "we read", "we write", "round trip", "what is lost", "10,000 annotations")


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table."""
    lines = [HEADS, ["---"] * len(HEADS), *rows]
    return [f"| {' | '.join(cell or '-' for cell in line)} |" for line in lines]


def _packages(judge: str) -> list[str]:
    """Where a Python keeps its packages, if it has sleap-io."""
    script = "import sleap_io, os; print(os.path.dirname(os.path.dirname(sleap_io.__file__)))"
    done = subprocess.run([judge, "-c", script], capture_output=True, text=True, env=_plain())
    return done.stdout.split() if done.returncode == 0 else []


def _plain() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}


def _asked(judges: Sequence[str], library: str, question: str, folder: Path) -> list[dict[str, Any]] | None:
    """What the first of the judges that has a library answers; None where nobody has it."""
    for judge in judges:
        if subprocess.run([judge, "-c", f"import {library}"], capture_output=True, env=_plain()).returncode == 0:
            command = [judge, str(ASKS), question, str(folder)]
            done = subprocess.run(command, capture_output=True, text=True, env=_plain())
            if done.returncode:
                raise RuntimeError(f"{question}: {done.stderr[-3000:]}")
            return list(json.loads(done.stdout.strip().splitlines()[-1]))
    print(f"{question}: no judge has {library}")
    return None


def _expected(one: Format, wanted: Wanted) -> list[Fact]:
    found = [fact for fact in facts(document(IMAGES)) if wanted(fact)]
    return [_as_kept(one, fact) for fact in found]


def _as_kept(one: Format, fact: Fact) -> Fact:
    """A fact as far as a format has a place for it: of the image, names are compared without what tools add."""
    image = re.sub(r"^[0-9a-f]{8}-", "", fact.image.rpartition("/")[2])
    label = "" if one.nameless and fact.kind == "points" else fact.label.removesuffix(" shape")  # as CVAT needs it
    return replace(fact, image=image, label=label)


def _said(one: Format, what: str, verdict: Verdict) -> str:
    says = verdict.says(one.grouped, one.visible)
    print(f"{one.name}: {what}: {verdict}: {says}", flush=True)
    return says if says == "yes" else f"NO: {says}"


def _told(folder: Path) -> Path:
    """A folder with the truth and its photographs."""
    whole = document(IMAGES)
    entries = []
    for entry in whole.annotations:
        if isinstance(code := entry.get("segmentation"), dict):
            flat = coco_mask.decode(code).T.ravel()
            edges = np.flatnonzero(np.diff(flat.astype(np.int8))) + 1
            runs = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
            entry = {key: value for key, value in entry.items() if key != "segmentation"}
            entry |= {"size": code["size"], "runs": [0, *runs] if flat[0] else runs}
        entries.append(entry)
    (folder / "images").mkdir(parents=True)
    said = {"images": whole.images, "categories": whole.categories, "annotations": entries}
    (folder / "truth.json").write_text(json.dumps(said))
    for image in whole.images:
        Image.new("RGB", (image["width"], image["height"])).save(folder / "images" / image["file_name"])
    return folder


def _read(one: Format, judges: Sequence[str], place: Path) -> str:
    if one.writes is None:
        return ""
    question, library, wanted = one.writes
    folder = _told(place / f"in {one.name.split()[0]} {question}")
    if _asked(judges, library, question, folder) is None:
        return ""
    if question == "voc_written":
        return f"{_read_maps(one, folder)} ({library})"
    found = [_as_kept(one, fact) for fact in facts(read_export(folder / "out"))]
    if one.below == "pose":  # sleap-io numbers the images in their order, and calls the class as it likes
        names = sorted({fact.image for fact in found})
        found = [replace(fact, image=f"{names.index(fact.image) + 1}.png", label="ant") for fact in found]
    expected = _expected(one, wanted)
    able = replace(
        one, grouped=one.grouped and question != "coco_written", visible=one.visible and library != "sleap_io"
    )
    return f"{_said(able, f'{library} writes, we read', judged(expected, found))} ({library})"


def _read_maps(one: Format, folder: Path) -> str:
    """Masks in colours, of which the body is the part; those of one image together."""
    masks, (image, *_) = folder / "out" / "SegmentationClass", document(1).images
    colours, _ = read_labelmap(masks, ("ant", "body", *PARTS))
    found = []
    for file in sorted(masks.rglob("*.png")):
        size = (image["width"], image["height"])
        parts, _ = read_part_files(((0, file),), size, ("ant", "body", *PARTS), colours, False)
        found.append(Fact(f"{file.stem}.png", "body", "mask", "", parts == 2))
    expected: dict[str, Fact] = {}
    for fact in _expected(one, lambda fact: fact.label == "body"):
        before = expected.get(fact.image)
        data = fact.data | before.data if before else fact.data
        expected[fact.image] = replace(fact, group="", data=data)
    return _said(replace(one, grouped=False), "datumaro writes, we read", judged(list(expected.values()), found))


def _written(one: Format, judges: Sequence[str], place: Path) -> str:
    if one.reads is None or not one.export:
        return ""
    question, library, wanted = one.reads
    folder = _told(place / f"out {one.name}")
    whole = document(IMAGES)
    for image in whole.images:
        image["path"] = str(folder / "images" / image["file_name"])
    out = write_export(one.export, whole, folder)
    if one.export == "yolo":
        (out / one.below / "images").mkdir()
        for image in whole.images:
            os.link(image["path"], out / one.below / "images" / image["file_name"])
    said = _asked(judges, library, question, folder)
    if said is None:
        return ""
    found = [_as_kept(one, fact) for fact in of_judge(said)]
    verdict = judged([fact for fact in _expected(one, wanted) if one.kept(fact)], found)
    able = replace(one, visible=one.visible and library != "sleap_io")  # which knows no hidden keypoints
    return f"{_said(able, f'we write, {library} reads', verdict)} ({library})"


def _round_trip(one: Format, place: Path) -> tuple[str, str]:
    if not one.export:
        return "not written", ""
    whole = document(IMAGES)
    out = write_export(one.export, whole, place / f"round {one.name}")
    if one.below:
        out = out / one.below
        (out / "images").mkdir()
        for image in whole.images:
            Image.new("RGB", (image["width"], image["height"])).save(out / "images" / image["file_name"])
    found = [_as_kept(one, fact) for fact in facts(read_export(out))]
    verdict = judged(_expected(one, one.kept), found)
    return _said(one, "round trip", verdict), "; ".join(_losses(one, whole)) or "nothing"


def _losses(one: Format, whole: Document) -> list[str]:
    """What a writer says that it loses, without the numbers."""
    texts = [text.removeprefix("has no place for ").removesuffix(": not written") for text in losses(whole, one.export)]
    return [re.sub(r",? of \d+ (annotations|objects)|\d+ ", "", text) for text in texts]


def _timed(one: Format, folder: Path, places: list[str]) -> str:
    if not one.speed:
        return ""
    try:
        export = made(one.speed, folder)
    except ImportError:
        return ""
    found = in_a_process(export, folder / "images", places)
    load = os.getloadavg()[0]
    print(
        f"{one.name}: {found['samples']} samples in {found['seconds']:.2f} s ({found['cpu']:.2f} s of CPU), "
        f"{found['mib']:.0f} MiB; load {load:.1f} on {os.cpu_count()} CPUs {found['wrong'] or ''}",
        flush=True,
    )
    return f"{found['cpu']:.1f} s of CPU, {found['mib']:.0f} MiB"


if __name__ == "__main__":
    sys.exit(main())
