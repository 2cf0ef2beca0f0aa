"""Part mIoU that the paper prints (Tables 2-5), to stand beside ours where the data set is the paper's.

All are of ResNet-34 networks at 256 pixels, in percent. What was measured is in the name of the table: a benchmark of
another split or other part masks has no column.
"""

from __future__ import annotations

from collections.abc import Mapping

Table = Mapping[tuple[str, str, str], float]
"""(coarse labels, start, method) -> part mIoU in percent."""

_ROWS = {  # random, keypoint and ImageNet start; CUB part test, then val
    "fine-tuning": ((29.88, 41.12, 45.37), (35.28, 44.64, 48.62)),
    "multi-task": ((36.96, 38.00, 41.27), (40.24, 41.74, 43.93)),
    "pseudo-sup": ((30.77, 41.62, 46.01), (36.32, 45.03, 48.67)),
    "point-sup": ((35.18, 46.45, 46.76), (38.05, 48.01, 48.84)),
    "em": ((37.98, 49.25, 48.05), (40.85, 52.19, 51.11)),
}
_PASCAL = {  # ImageNet start; PASCAL test, then val
    "fine-tuning": (34.25, 32.02),
    "multi-task": (30.34, 29.50),
    "pseudo-sup": (34.98, 33.28),
    "point-sup": (35.72, 35.78),
    "em": (36.31, 37.52),
}
_OID = {"fine-tuning": (55.30, 54.17), "multi-task": (55.61, 55.94), "em": (58.68, 57.46)}  # test, then val


def _birds(split: int) -> dict[tuple[str, str, str], float]:
    starts = ("random", "keypoints", "weights")
    return {("all", start, m): rows[split][i] for m, rows in _ROWS.items() for i, start in enumerate(starts)}


PUBLISHED: dict[tuple[str, str], Table] = {
    # Table 3 does not name its start; its first row is Table 2's keypoint column.
    ("pascub", "test"): _birds(0) | {("mask", "keypoints", "em"): 46.30, ("keypoints", "keypoints", "em"): 47.96},
    ("pascub", "val"): _birds(1),
    ("pascub-pascal", "test"): {("all", "weights", m): row[0] for m, row in _PASCAL.items()},
    ("pascub-pascal", "val"): {("all", "weights", m): row[1] for m, row in _PASCAL.items()},
    ("oid-aircraft", "test"): {("all", "weights", m): row[0] for m, row in _OID.items()},
    ("oid-aircraft", "val"): {("all", "weights", m): row[1] for m, row in _OID.items()},
}
"""By (name of the dataset file, split): "pascub" is measured on CUB's part masks, "pascub-pascal" on PASCAL's."""
