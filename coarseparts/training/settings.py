"""Every setting of a run, declared once, and the presets: section 5.2 and Appendix C as a table, and ours.

Command-line ``--set key=value``, a run's ``config.yaml`` and the help text all come from ``Settings``.
"""

from __future__ import annotations

import difflib
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

from coarseparts.baselines.multi_task import Options as MultiTaskOptions
from coarseparts.baselines.point_sup import Options as PointSupOptions
from coarseparts.baselines.pseudo_sup import Options as PseudoSupOptions
from coarseparts.baselines.taught import Options as SelfTrainingOptions
from coarseparts.baselines.uni_match import Options as UniMatchOptions
from coarseparts.data.dataset_file import DatasetFile
from coarseparts.data.transforms import Augmentation, Preprocess
from coarseparts.em import Options

LEAST_SHOWN = 64
"""Pixels, to which a zoom below 1 reduces images at most."""


FROM_RANDOM, FROM_WEIGHTS = 36, 12
"""Passes over the coarse images. Encoders that start from random numbers gain from three times as many, in EM most of
all, for its teacher goes on learning (docs/results.md)."""


class Settings(BaseModel):
    """All choices of a run. Learning rates are base rates, which fall to 0 (``rate_decay``); epochs count passes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    encoder: str = Field(
        default="auto", description="any timm backbone, or resnet10, a toy; auto: a ResNet by weights and device"
    )
    encoder_factor: float | None = Field(
        default=None, gt=0, description="image encoders' rate, relative; none: 0.1 for plain ViTs, else 1"
    )
    stages: int = Field(default=3, ge=3, le=4, description="of a ResNet as encoder, 3 or all 4")
    weights: str = Field(default="random", description="random, imagenet, or a safetensors/pth file")
    start: Literal["weights", "keypoints"] = Field(
        default="weights", description="keypoints: the encoders first learn to predict the coarse images' keypoints"
    )
    dilate: bool = Field(default=True, description="dilate the encoder's last stage in place of its stride")
    decoder: Literal["paper", "stride4", "stride2", "stride1"] = Field(
        default="stride1", description="finest stride that decides; stride1: each level adds its scores"
    )
    zoom: float = Field(
        default=1, ge=0.5, le=4, description="the networks see images enlarged so many times; below 1 not under 64 px"
    )
    label_model: Literal["light", "paper"] = Field(default="light", description="architecture of p(ykp|y)")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="of the convolutions; auto: bfloat16 where the machine multiplies it natively"
    )
    compile: Literal[False, True, "reduce-overhead"] = Field(
        default=False,
        description="part model and posterior by torch.compile, minutes to begin with; reduce-overhead: as CUDA graphs",
    )
    sync_batch_norm: bool = Field(
        default=False, description="batch norm's statistics over all processes that train together"
    )
    posterior_start: Literal["part-model", "weights"] = Field(
        default="part-model", description="where the posterior's image encoder begins"
    )
    posteriors: Literal["shared", "separate", "inferred"] = Field(
        default="shared",
        description="one for every subset of labels; separate: one each; inferred: one, to which the part model and "
        "p(yk|y) tell the labels that an image lacks (section 3.2, remark 1)",
    )
    label_width: int = Field(default=32, gt=0, description="channels of the posterior's label encoder")
    distance: Literal["l1", "squared", "location"] = Field(default="location", description="keypoint likelihood")
    sigma: float = Field(default=0.03, gt=0, lt=0.5, description="keypoint Gaussian, share of the image's width")
    box_corners: bool = Field(default=False, description="draw a box as its two corners, not filled")

    optimizer: Literal["adamw", "adam", "sgd"] = Field(default="adamw", description="of every stage")
    weight_decay: float = Field(default=1e-2, ge=0, description="of every optimizer")
    part_lr: float = Field(default=1e-3, gt=0, description="part model, fine-tuning")
    posterior_lr: float = Field(default=1e-3, gt=0, description="posterior, before EM")
    posterior_encoder_factor: float = Field(default=1.0, gt=0, description="its image encoder's rate, relative")
    label_lr: float = Field(default=3e-3, gt=0, description="label models, before EM")
    em_part_lr: float = Field(default=1e-3, gt=0, description="part model, in EM")
    em_posterior_lr: float = Field(default=5e-4, gt=0, description="posterior, in EM")
    em_label_lr: float = Field(default=5e-4, gt=0, description="label models, in EM")

    rate_decay: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="share of a stage's steps, at its end, in which the rates fall to 0 in a straight line; 0: half a "
        "cosine over all of them",
    )
    random_start_factor: float = Field(
        default=6.0, gt=0, description="rates of part model and posterior times this where encoders start random"
    )

    keypoint_epochs: int = Field(default=10, gt=0, description="encoder on keypoints, where that is the start")
    part_epochs: int = Field(default=30, gt=0, description="fine-tuning")
    posterior_epochs: int = Field(default=30, gt=0, description="posterior, before EM")
    label_epochs: int = Field(default=10, gt=0, description="label models, before EM")
    em_epochs: int = Field(
        default=FROM_RANDOM, gt=0, description=f"EM, passes over the coarse images; {FROM_WEIGHTS} from weights"
    )
    epoch_steps: int = Field(default=16, gt=0, description="least steps of an epoch before EM, for small sets")
    em_epoch_steps: int = Field(default=128, gt=0, description="least steps of an epoch of EM, for small sets")
    label_steps: int = Field(default=20, gt=0, description="steps of a label model's epoch")
    part_batch: int = Field(default=8, gt=0, description="part-labelled images a step, before EM")
    batch: int = Field(default=8, gt=0, description="b: coarse images a step")
    labelled_batch: int = Field(default=4, gt=0, description="bp: part-labelled images a step, in EM")
    label_dropout: float = Field(default=0.2, ge=0, lt=1, description="chance to hide a label, posterior before EM")

    patience: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of a stage's epochs that, behind its first half and once rates fall, bring no better one "
        "and end it; 0: none",
    )
    flip: bool = Field(
        default=True, description="results and predictions are the mean over each image and its mirror image"
    )
    part_average: float = Field(
        default=0.98,
        ge=0,
        lt=1,
        description="the part model kept is its moving average, which keeps this share a step; 0: as it is",
    )

    match_labels: bool = Field(
        default=False,
        description="the posterior sees half of the images with part masks with the labels of coarse ones",
    )

    em: Options = Field(default_factory=Options)
    pseudo_sup: PseudoSupOptions = Field(default_factory=PseudoSupOptions)
    self_training: SelfTrainingOptions = Field(default_factory=SelfTrainingOptions)
    multi_task: MultiTaskOptions = Field(default_factory=MultiTaskOptions)
    point_sup: PointSupOptions = Field(default_factory=PointSupOptions)
    uni_match: UniMatchOptions = Field(default_factory=UniMatchOptions)
    augmentation: Augmentation = Field(default_factory=Augmentation)
    preprocess: Preprocess = Field(default_factory=Preprocess)

    @model_validator(mode="before")
    @classmethod
    def _lasting(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("weights", "random") != "random":
            return {"em_epochs": FROM_WEIGHTS} | given
        return given

    def shown(self, size: int) -> Settings:
        """These with the zoom that images of ``size`` pixels have: one below 1 leaves them LEAST_SHOWN, if they have
        as many."""
        least = min(1, LEAST_SHOWN / size)
        return self if self.zoom >= least else self.model_copy(update={"zoom": least})

    @property
    def looks_twice(self) -> bool:
        """Whether what is measured and predicted sees mirror images, too: not where training never saw any."""
        return self.flip and self.augmentation.flip > 0


_PAPER = {  # sections 5 and 5.2, Appendix B: what all rows of Table 2 share
    "encoder": "resnet34",
    "stages": 4,
    "weights": "imagenet",
    "dilate": False,
    "decoder": "paper",
    "label_model": "paper",
    "label_width": 16,
    "precision": "float32",
    "posterior_start": "weights",
    "distance": "l1",
    "optimizer": "sgd",
    "weight_decay": 1e-4,
    "part_lr": 1e-4,  # section 5.1 takes Adam for this one stage; see docs/fidelity.md
    "posterior_lr": 0.1,
    "posterior_encoder_factor": 0.1,
    "label_lr": 0.1,
    "em_part_lr": 1e-5,
    "em_posterior_lr": 1e-3,
    "em_label_lr": 1e-8,
    "rate_decay": 0.0,
    "random_start_factor": 1.0,
    "part_epochs": 200,
    "posterior_epochs": 90,
    "label_epochs": 100,  # 90 on generated and 10 on true parts; ours mixes the two
    "em_epochs": 40,
    "epoch_steps": 8,
    "em_epoch_steps": 1,
    "part_batch": 16,
    "batch": 32,
    "labelled_batch": 4,
    "label_dropout": 0.0,
    "match_labels": False,
    "flip": False,
    "part_average": 0.0,
    **{name: {"rate": 1.0, "start": "part-model"} for name in ("pseudo_sup", "self_training", "uni_match")},
    "point_sup": {"rate": 1.0, "start": "part-model", "mask": 1.0},
    "multi_task": {"rate": 1.0, "start": "part-model", "mask": 1.0, "keypoints": 10.0},
    "augmentation": {
        "scale": (1.0, 1.0),
        "rotation": 0.0,
        "shear": 0.0,
        "translation": 0.0,
        "grey": 0.0,
        "background": 0.0,
        "part_colours": 0.0,
    },
    "em": {
        "alpha": 0.05,
        "lambdas": {"keypoints": 50.0, "mask": 1.0},
        "misfit": "plain",
        "gamma": 0.01,
        "unbounded": 1.0,
        "learn_unbounded": True,
        "supervise": 0.0,
        "target": "mode",
        "teach": "all",
        "dice": 0.0,
        "average": 0.0,
        "delta1": 0.05,
        "delta2": 50.0,
        "joint_forward": False,
        "label_dropout": 0.0,
        "consistency": 0.0,
        "blank": 0.0,
        "condition": False,
        "clip": 1e9,
    },
}


def _paper(em_options: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**_PAPER, **changes, "em": {**_PAPER["em"], **em_options}}  # type: ignore[dict-item]


def _baseline(rate: float, **changes: Any) -> dict[str, Any]:
    return _paper({}, em_part_lr=rate, em_epochs=90, **changes)


PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    # Table 2, "Ours": a row per initialisation (Appendix C).
    "paper": _paper({}),
    "paper-keypoint": _paper(
        {"lambdas": {"keypoints": 100.0, "mask": 1.0}, "delta1": 0.001}, weights="random", start="keypoints"
    ),
    "paper-random": _paper(
        {"alpha": 0.01, "delta1": 0.1, "delta2": 100.0}, weights="random", em_part_lr=5e-4, em_posterior_lr=1e-5
    ),
    # Section 5.1: the baselines' own rates and epochs.
    "paper-pseudo-sup": _baseline(1e-4),
    "paper-multi-task": _baseline(0.1),
    "paper-point-sup": _baseline(1e-3),
    # Table 4, aircraft (section 5.2, Appendix C).
    "paper-oid": _paper(
        {"lambdas": {"mask": 5.0}, "delta1": 0.01},
        em_part_lr=5e-3,
        em_posterior_lr=1e-6,
    ),
    "paper-oid-multi-task": _baseline(0.2),
    # What the released code does (see docs/fidelity.md for what of it is a mistake).
    "released": _paper(
        {"entropy": "lower", "agreement": "reverse", "target": "soft", "train_label_models": False},
        distance="squared",
        dilate=True,
    ),
}


PUBLISHED = "as-published"
"""In place of a preset's name: each cell of a benchmark takes its own, see ``published``."""


def published(method: str, start: str, overlapping: bool) -> str:
    """The preset of sections 5 and 5.2 and Appendix C for a cell of Tables 2 to 5.

    ``start``: random, keypoints, weights or weights+keypoints, where the encoders begin. The paper gives the aircraft
    (``overlapping``) one set of numbers; methods that it does not have take EM's.
    """
    if overlapping:
        return "paper-oid-multi-task" if method == "multi-task" else "paper-oid"
    if method in ("pseudo-sup", "multi-task", "point-sup"):
        return f"paper-{method}"
    return {"random": "paper-random", "weights": "paper"}.get(start, "paper-keypoint")


class Effort(NamedTuple):
    """``factor``: what the epochs of every stage of every method are multiplied by (``shares``); ``zoom`` and
    ``patience``: the settings of that name."""

    factor: float
    zoom: float
    patience: float


EFFORTS = {"quick": Effort(1 / 4, 0.5, 0), "standard": Effort(1, 1, 0), "best": Effort(3, 2, 0.2)}

EPOCHS = ("keypoint_epochs", "part_epochs", "posterior_epochs", "label_epochs", "em_epochs")
"""The settings that count passes, one a stage."""


def shares(chosen: Settings, factor: float) -> tuple[float, float]:
    """What the epochs before EM, and EM's, are multiplied by in a training that is longer or shorter by ``factor``.

    From weights, a shortened EM needs a posterior that has learned before it, or both fall again: a quarter is half
    before it and an eighth of it (docs/concepts.md). From random numbers the part model has little but EM's steps to
    learn from, and all are shortened alike.
    """
    if factor >= 1 or chosen.weights == "random":
        return factor, factor
    return factor**0.5, factor**1.5


def epochs(chosen: Settings, factor: float) -> dict[str, int]:
    """The settings that count passes, at least 1 each, in a training that is longer or shorter by ``factor``."""
    before, em = shares(chosen, factor)
    return {key: max(1, round((em if key == "em_epochs" else before) * getattr(chosen, key))) for key in EPOCHS}


def settings(preset: str = "default", changes: dict[str, Any] | None = None, effort: str = "standard") -> Settings:
    """A preset with ``changes`` by dotted key, e.g. {"em.alpha": 0.5, "batch": 16}.

    ``effort``, of EFFORTS, sets what neither ``changes`` nor, of zoom and patience, the preset does.
    Raises ValueError naming an unknown preset, effort or key, or pydantic's error for a value of the wrong kind.
    """
    if preset not in PRESETS:
        raise ValueError(f"preset {preset!r} is unknown; choose one of {', '.join(PRESETS)}")
    if effort not in EFFORTS:
        raise ValueError(f"effort {effort!r} is unknown; choose one of {', '.join(EFFORTS)}")
    tree: dict[str, Any] = {k: dict(v) if isinstance(v, dict) else v for k, v in PRESETS[preset].items()}
    for key, value in (changes or {}).items():
        *folders, leaf = key.split(".")
        node, model = tree, Settings
        for folder in folders:
            model = _submodel(model, folder, key)
            node = node.setdefault(folder, {})
        if leaf not in model.model_fields:
            raise _unknown(key)
        if not isinstance(value, dict) and (group := _group(model, leaf)):
            one = next(iter(group.model_fields))
            raise ValueError(f"--set {key}: is a group of settings; name one of them, e.g. --set {key}.{one}=VALUE")
        node[leaf] = value
    chosen = Settings.model_validate(tree)
    wanted = EFFORTS[effort]
    of_effort = epochs(chosen, wanted.factor) | {"zoom": wanted.zoom, "patience": wanted.patience}
    given = set(changes or ()) | ({"zoom", "patience"} & tree.keys())
    return chosen.model_copy(update={key: value for key, value in of_effort.items() if key not in given})


def _unknown(key: str) -> ValueError:
    if key in DatasetFile.model_fields:
        return ValueError(f"--set {key}: is of the dataset file, and no setting; write {key}: ... there")
    known = _keys(Settings)
    close = difflib.get_close_matches(key, known, n=1)
    remedy = f"did you mean {close[0]}? " if close else ""
    return ValueError(f"--set {key}: no such setting; {remedy}`coarseparts settings` lists all {len(known)}")


def _submodel(model: type[BaseModel], name: str, key: str) -> Any:
    if kind := _group(model, name):
        return kind
    raise _unknown(key)


def _group(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    """The model of a key that stands for several settings, None of any other."""
    kind = model.model_fields[name].annotation if name in model.model_fields else None
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            keys += _keys(info.annotation, f"{prefix}{name}.")
        else:
            keys.append(prefix + name)
    return keys


def describe() -> list[tuple[str, str, str]]:
    """(key, default, what it is) of every setting, for help texts."""
    rows = []
    for key in _keys(Settings):
        model: Any = Settings
        *folders, leaf = key.split(".")
        for folder in folders:
            model = model.model_fields[folder].annotation
        info = model.model_fields[leaf]
        rows.append((key, str(info.get_default(call_default_factory=True)), info.description or ""))
    return rows
