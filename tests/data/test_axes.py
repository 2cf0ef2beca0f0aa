"""COCO files whose outlines or run lengths are written the other way round."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coarseparts.data.formats.coco import read_coco, read_part_coco

W, H = 60, 40
WIDE, HIGH = np.zeros((H, W), bool), np.zeros((H, W), bool)
WIDE[5:12, 10:55] = HIGH[10:38, 20:30] = True


def outline(mask: np.ndarray) -> list[float]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    x0, y0, x1, y1 = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return [float(number) for number in (x0, y0, x1, y0, x1, y1, (x0 + x1) / 2, y1)]


def runs(flat: np.ndarray) -> list[int]:
    edges = np.flatnonzero(np.diff(flat.astype(np.int8))) + 1
    return [int(number) for number in np.diff(np.concatenate([[0], edges, [flat.size]]))]


def said(file: Path, segmentations: list[Any], boxes: list[Any] | None = None, size: bool = True) -> list[str]:
    """What is said of a file with two annotations of each of some images, as parts and as objects."""
    images = [{"id": i, "file_name": f"{i}.png"} | ({"width": W, "height": H} if size else {}) for i in range(4)]
    entries: list[dict[str, Any]] = [
        {"id": 2 * i + j, "image_id": i, "category_id": 1, "segmentation": segmentation}
        for i in range(4)
        for j, segmentation in enumerate(segmentations)
    ]
    for entry in entries if boxes else ():
        entry["bbox"] = (boxes or [])[entry["id"] % 2]
    categories = [{"id": 1, "name": "head"}]
    file.write_text(json.dumps({"images": images, "annotations": entries, "categories": categories}))
    of_parts, of_objects = read_part_coco(file, ("head",))[1], read_coco(file)[1]
    told = [f"{p.severity}: {p.message}" for p in of_parts]
    assert told == [f"{p.severity}: {p.message}" for p in of_objects]
    return told


def test_outlines_in_rows_and_columns_are_told_by_their_images_and_boxes(tmp_path: Path) -> None:
    right = [[outline(WIDE)], [outline(HIGH)]]
    swapped = [[np.array(one).reshape(-1, 2)[:, ::-1].ravel().tolist()] for (one,) in right]
    boxes = [[10, 5, 45, 7], [20, 10, 10, 28]]
    by_size = "note: 4 outlines fit their images only with x and y the other way round"
    assert said(tmp_path / "c.json", swapped) == [by_size], "that of the other part lies within its image"
    by_box = "error: 8 outlines fit their boxes only with x and y the other way round"
    assert said(tmp_path / "c.json", swapped, boxes, size=False) == [by_box]
    assert said(tmp_path / "c.json", right, boxes) == said(tmp_path / "c.json", right) == []


@pytest.mark.parametrize("order", ["F", "C"])
def test_run_lengths_that_go_row_by_row_are_told(tmp_path: Path, order: Any) -> None:
    codes = [{"size": [H, W], "counts": runs(mask.ravel(order=order))} for mask in (WIDE, HIGH)]
    expected = ["error: its run lengths make whole shapes only row by row, and COCO's go column by column"]
    assert said(tmp_path / "c.json", codes) == (expected if order == "C" else [])
