"""How long it takes to read an export and to join its annotations to objects, and how much memory."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from coarseparts.data.formats.document import Document
from coarseparts.data.formats.registry import write_export
from judging.truth import KEYPOINTS, document

IMAGES = 5_000


def made(name: str, folder: Path) -> Path:
    """An export of ``IMAGES`` images with 10,000 annotations in a ``folder``, beside which the photographs lie."""
    photographs = folder / "images"
    if not photographs.exists():
        photographs.mkdir(parents=True)
        Image.fromarray(np.full((48, 96, 3), 90, np.uint8)).save(folder / "photo.png")
        content = (folder / "photo.png").read_bytes()
        for i in range(1, IMAGES + 1):
            (photographs / f"{i}.png").write_bytes(content)
    whole = document(IMAGES, objects=1, parts=False)
    out = folder / name
    if name == "deeplabcut":
        return _deeplabcut(out)
    if name == "sleap":
        return _sleap(out, photographs)
    if name.startswith("yolo"):
        export = write_export("yolo", whole, out) / name.rpartition("-")[2]
        (export / "images").mkdir()
        for photograph in photographs.iterdir():
            os.link(photograph, export / "images" / photograph.name)
        return export
    return write_export(name, whole, out)


def _points(seed: int = 0) -> np.ndarray:
    """(IMAGES, 2, 4, 2) the keypoints of two ants in each image."""
    return np.random.default_rng(seed).random((IMAGES, 2, 4, 2)).round(3) * 40 + 4


def _deeplabcut(out: Path) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    columns = [(ant, point, axis) for ant in ("ant1", "ant2") for point in KEYPOINTS for axis in "xy"]
    heads = [["scorer", *["ann"] * len(columns)]]
    for level, name in enumerate(("individuals", "bodyparts", "coords")):
        heads.append([name, *(column[level] for column in columns)])
    rows = [[f"{i + 1}.png", *map(str, row.ravel())] for i, row in enumerate(_points())]
    (out / "CollectedData_ann.csv").write_text("\n".join(",".join(row) for row in heads + rows) + "\n")
    return out / "CollectedData_ann.csv"


def _sleap(out: Path, photographs: Path) -> Path:
    import sleap_io as sio

    out.mkdir(parents=True, exist_ok=True)
    skeleton = sio.Skeleton(list(KEYPOINTS), name="ant")
    video = sio.Video.from_filename([str(photographs / f"{i}.png") for i in range(1, IMAGES + 1)])
    frames = [
        sio.LabeledFrame(
            video=video,
            frame_idx=i,
            instances=[sio.Instance.from_numpy(points, skeleton=skeleton) for points in ants],
        )
        for i, ants in enumerate(_points())
    ]
    sio.Labels(frames).save(str(out / "a.slp"))
    return out / "a.slp"


def measure(export: Path, photographs: Path) -> dict[str, Any]:
    """Reads and joins an export once, in a process of its own: seconds, CPU seconds, MiB more than before."""
    from coarseparts.data.dataset_file import DatasetFile
    from coarseparts.data.records import read_dataset

    source = {"split": "train", "images": photographs, "labels": export}
    dataset = DatasetFile(parts=("head", "thorax"), sources=[source])  # type: ignore[arg-type]
    before, held = resource.getrusage(resource.RUSAGE_SELF), _kib("VmRSS")
    start = time.perf_counter()
    records, problems, _ = read_dataset(dataset)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    wrong = [str(problem) for problem in problems if problem.severity == "error"]
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "samples": len(records),
        "seconds": seconds,
        "cpu": cpu,
        "mib": (_kib("VmHWM") - held) / 1024,
        "wrong": wrong[:3],
    }


def _kib(name: str) -> int:
    """What Linux counts of this process, in KiB: VmRSS is what it holds, VmHWM the most that it has held."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{name}:")))


def in_a_process(export: Path, photographs: Path, paths: list[str]) -> dict[str, Any]:
    """``measure`` in a process that has read nothing before; ``paths``: of libraries that are looked for last."""
    script = "import sys, json; sys.path += json.loads(sys.argv[3]); from pathlib import Path\n"
    script += "from judging.speed import measure\nprint(json.dumps(measure(Path(sys.argv[1]), Path(sys.argv[2]))))"
    command = [sys.executable, "-c", script, str(export), str(photographs), json.dumps([*paths])]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


__all__ = ["IMAGES", "Document", "in_a_process", "made", "measure"]
