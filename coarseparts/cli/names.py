"""The names that help texts, completion and first checks of options need, without what they stand for: the registries
import torch, which takes seconds. ``tests/cli/test_help.py`` holds each against its registry."""

from __future__ import annotations

METHODS = (
    *("em", "fine-tuning", "pseudo-sup", "multi-task", "point-sup", "uni-match", "distillation", "self-training"),
    *("ada-bn", "mask-only", "shuffled-labels", "upper-bound"),
)
"""``training.methods.METHODS``."""

PRESETS = (
    *("default", "paper", "paper-keypoint", "paper-random", "paper-pseudo-sup", "paper-multi-task", "paper-point-sup"),
    *("paper-oid", "paper-oid-multi-task", "released"),
)
"""``training.settings.PRESETS``."""

PUBLISHED = "as-published"
"""``training.settings.PUBLISHED``."""

STARTS = ("random", "keypoints", "weights", "weights+keypoints")
"""``experiments.cells.STARTS``."""

WORLDS = ("synthetic-birds", "synthetic-aircraft")
"""``experiments.worlds.WORLDS``."""

STYLES = ("keypoints", "mask", "box", "part_boxes")
"""``labels.STYLES``."""

SAMPLERS = ("grid", "random", "tpe")
"""``experiments.sweep.SAMPLERS``."""

BANNER = 20
"""``data.prepare.oid_aircraft.BANNER``."""
