"""The names that help texts, completion and first checks of options need, without what they stand for: the registries
import torch, which takes seconds. ``tests/cli/test_help.py`` holds each against its registry."""

from __future__ import annotations

METHODS = (
    *(
        "em",
        "fine-tuning",
        "frozen-probe",
        "pseudo-sup",
        "multi-task",
        "point-sup",
        "uni-match",
        "distillation",
        "self-training",
    ),
    *("ada-bn", "mask-only", "shuffled-labels", "upper-bound"),
)
"""``training.methods.METHODS``."""

PRESETS = (
    *("default", "paper", "paper-keypoint", "paper-random", "paper-pseudo-sup", "paper-multi-task", "paper-point-sup"),
    *("paper-oid", "paper-oid-multi-task", "released"),
)
"""``training.settings.PRESETS``."""

EFFORTS = ("quick", "standard", "best")
"""``training.settings.EFFORTS``."""

PUBLISHED = "as-published"
"""``training.settings.PUBLISHED``."""

STARTS = ("random", "keypoints", "weights", "weights+keypoints")
"""``experiments.cells.STARTS``."""

WORLDS = ("synthetic-birds", "synthetic-aircraft")
"""``experiments.worlds.WORLDS``."""

STYLES = ("keypoints", "mask", "box", "part_boxes", "scribbles")
"""``labels.STYLES``."""

EACH = ("one", "two", "all")
"""``experiments.cells.EACH``."""

SAMPLERS = ("grid", "random", "tpe")
"""``experiments.sweep.SAMPLERS``."""

BANNER = 20
"""``data.prepare.oid_aircraft.BANNER``."""

EXPORTS = ("coco", "cvat", "labelme", "label-studio", "via", "yolo")
"""``data.formats.registry.WRITERS``."""

EXAMPLES = ("cvat", "label-studio", "labelme", "via", "yolo-pose", "deeplabcut", "masks", "coco")
"""``data.synthetic.examples.KINDS``."""

TARGETS = ("onnx", "torchscript", "hub-folder")
"""``export.files.TARGETS``."""

ORDERS = ("random", "entropy", "disagreement", "core-set")
"""``selection.orders.ORDERS``."""

_SETTINGS = {
    "": (
        "encoder encoder_factor stages weights start dilate decoder zoom label_model precision compile "
        "sync_batch_norm posterior_start posteriors label_width distance sigma box_corners optimizer "
        "weight_decay part_lr posterior_lr posterior_encoder_factor label_lr em_part_lr em_posterior_lr "
        "em_label_lr rate_decay random_start_factor keypoint_epochs part_epochs posterior_epochs label_epochs "
        "em_epochs epoch_steps em_epoch_steps label_steps part_batch batch labelled_batch label_dropout "
        "patience flip part_average match_labels"
    ),
    "em": (
        "alpha lambdas misfit evidence gamma entropy agreement unbounded learn_unbounded supervise target teach "
        "sharpness dice delta1 delta2 train_label_models condition average joint_forward refine refine_rate langevin "
        "label_dropout consistency consistency_dropout impute blank views clip"
    ),
    "pseudo_sup": ("rate start weight"),
    "self_training": ("rate start"),
    "multi_task": ("rate start parts mask keypoints"),
    "point_sup": ("rate start points mask parts window"),
    "uni_match": ("rate start confidence strong dropped drop momentum colour"),
    "augmentation": (
        "flip scale rotation shear translation ramp brightness contrast saturation hue grey background part_colours"
    ),
    "preprocess": ("mean std"),
}

SETTINGS = tuple(f"{group}.{key}".lstrip(".") for group, keys in _SETTINGS.items() for key in keys.split())
"""The keys of ``training.settings.Settings``."""
