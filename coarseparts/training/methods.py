"""Every method by name: what it is, what it asks of the data, how it is trained and which rows it gives.

All methods of one task share networks, augmentation, batches and the number of optimizer steps; what they have
in common (the fine-tuned part model, the initial posterior) is trained once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, cast

import torch
from rich.text import Text

from coarseparts.baselines import ada_bn, point_sup, taught
from coarseparts.baselines.baseline import Baseline, BaselineOptions
from coarseparts.baselines.multi_task import MultiTask
from coarseparts.baselines.point_sup import PointSup
from coarseparts.baselines.pseudo_sup import PseudoSup
from coarseparts.baselines.uni_match import UniMatch
from coarseparts.data.roles import Rows
from coarseparts.joint import JointModel
from coarseparts.labels import STYLES
from coarseparts.networks import PartModel
from coarseparts.system.text import readable
from coarseparts.training import stages
from coarseparts.training.measure import measured
from coarseparts.training.networks import keypoint_decoder, mask_decoder
from coarseparts.training.run_folder import RunFolder
from coarseparts.training.stages import INITIAL
from coarseparts.training.task import Task


class Trained(NamedTuple):
    """What a method comes to: the networks, and its rows of results (method, seed, measures, seconds of training), its
    own last; before it, of EM, its posterior's before and after."""

    joint: JointModel
    rows: list[dict[str, Any]]


@dataclass(frozen=True)
class Method:
    """``role`` says what a table may conclude from it; ``train`` in a run folder.

    ``cost``: time relative to EM's with all that comes before it, as measured on the synthetic birds; ``asks``: what it
    cannot do without, see ``lack``; ``posterior``: whether it leaves one that may be exported.
    """

    role: Literal["ours", "baseline", "opponent", "control", "bound"]
    text: str
    train: Callable[[Task, RunFolder], Trained]
    cost: float
    asks: tuple[str, ...] = ()
    posterior: bool = False

    @property
    def labels(self) -> bool:
        """Whether it looks at coarse labels."""
        return bool({"labels", "points or masks", "points or filled masks", "masks"} & set(self.asks))


def check(task: Task, methods: Sequence[str]) -> None:
    """Raises ValueError, naming all reasons, when the data set does not allow one of ``methods``."""
    reasons = []
    for name in methods:
        if name not in METHODS:
            reasons.append(f"method {name!r} is unknown; choose one of {', '.join(METHODS)}")
            continue
        for ask in METHODS[name].asks:
            if what := lack(task.rows, task.styles, ask, task.schema.overlapping):
                reasons.append(f"{name} needs {what}")
                break
    unknown = sorted(set(task.settings.em.lambdas) - set(STYLES))
    if unknown:
        reasons.append(f"em.lambdas: {', '.join(unknown)} is no label style; there are {', '.join(STYLES)}")
    if reasons:
        raise ValueError("\n".join(reasons))


def train(task: Task, run: RunFolder, method: str) -> Trained:
    """Trains one method, or reads what it came to. Raises ValueError as ``check`` does."""
    check(task, [method])
    return METHODS[method].train(task, run)


def lack(rows: Rows, styles: Iterable[str], ask: str, overlapping: bool = False) -> str:
    """What of ``ask`` (``Method.asks``) the data have not, and the remedy; "" if they have it."""
    there = set(styles)
    if ask == "coarse" and not len(rows.coarse):
        some = "use some of the part masks alone, --parts-limit N"
        return f"training images without part masks; add such a source, {some}, or take fine-tuning"
    if ask == "labels" and not there:
        return "coarse labels (keypoints, masks or boxes); no training image has any that are used"
    if ask == "points or masks" and not there & {"mask", "keypoints"}:
        return "keypoints or masks; the training images have neither"
    if ask == "points or filled masks" and not there & ({"keypoints"} if overlapping else {"mask", "keypoints"}):
        return "keypoints, or masks that the parts fill; the training images have neither"
    if ask == "exclusive parts" and overlapping:
        return "parts that exclude each other; with others p(ymask|y) has no closed form"
    if ask == "masks" and "mask" not in there:
        return "figure-ground masks; no training image has one"
    if ask == "hidden parts" and not len(rows.hidden):
        return "part masks beyond the part limit, and there are none; hold some back by --parts-limit N of `compare`"
    return ""


# ---- ours -------------------------------------------------------------------------------------------------------


def _em(task: Task, run: RunFolder) -> Trained:
    joint = stages.initialised(task, run)
    before = _row(task, run, joint, "posterior", "posterior", *INITIAL)
    stages.expectation_maximisation(task, run, joint)
    after = _row(task, run, joint, "em-posterior", "posterior", *INITIAL, "em")
    return Trained(joint, [before, after, _row(task, run, joint, "em", "part", *INITIAL, "em")])


# ---- section 5.1's baselines and a modern opponent --------------------------------------------------------------


def _fine_tuning(task: Task, run: RunFolder) -> Trained:
    return _measured(task, run, stages.fine_tuned(task, run, "fine-tuning"), "fine-tuning")


def _frozen_probe(task: Task, run: RunFolder) -> Trained:
    return _measured(task, run, stages.frozen_probe(task, run), "frozen-probe")


def _with_baseline(
    name: str, build: Callable[[Task, RunFolder, JointModel], Baseline]
) -> Callable[[Task, RunFolder], Trained]:
    def train(task: Task, run: RunFolder) -> Trained:
        o: BaselineOptions = getattr(task.settings, name.replace("-", "_"))
        joint = stages.fine_tuned(task, run, o.start)
        stages.baseline(task, run, joint, name, build(task, run, joint), o.rate)
        twin = [f"{o.start}-2"] if name == "pseudo-sup" else []
        return _measured(task, run, joint, name, o.start, *twin)

    return train


def _pseudo_sup(task: Task, run: RunFolder, joint: JointModel) -> Baseline:
    o = task.settings.pseudo_sup
    other = stages.fine_tuned(task, run, o.start, 1).part_model
    return PseudoSup(cast(PartModel, joint.part_model), cast(PartModel, other), o, joint.y, task.settings.em.dice)


def _multi_task(task: Task, run: RunFolder, joint: JointModel) -> Baseline:
    s, network = task.settings, cast(PartModel, joint.part_model)
    torch.manual_seed(task.seed + 1)
    decoder, keypoints = keypoint_decoder(network, task.schema, s) if "keypoints" in task.styles else (None, None)
    figure = mask_decoder(network, s) if "mask" in task.styles and task.schema.overlapping else None
    use_mask = "mask" in task.styles
    return MultiTask(network, decoder, keypoints, use_mask, s.multi_task, joint.y, s.em.dice, figure)


def _point_sup(task: Task, run: RunFolder, joint: JointModel) -> Baseline:
    s, schema = task.settings, task.schema
    assigned: list[int] = []
    if "keypoints" in task.styles:
        assigned = task.keypoint_parts or point_sup.propose(task.part_feed.plain(), len(schema.keypoints), joint.y)
    names = ("-", *schema.parts)
    for name, part in zip(schema.keypoints, assigned, strict=False):
        run.console.print(Text(readable(f"  {name}: {names[part]}")))
    use_mask = "mask" in task.styles and not schema.overlapping  # parts that overlap do not fill it
    return PointSup(cast(PartModel, joint.part_model), assigned, use_mask, s.point_sup, joint.y, s.em.dice)


def _uni_match(task: Task, run: RunFolder, joint: JointModel) -> Baseline:
    s, network = task.settings, cast(PartModel, joint.part_model)
    return UniMatch(network, task.schema.value_flip(), s.uni_match, joint.y, s.em.dice)


# ---- controls: what else could explain the gain -----------------------------------------------------------------


def _distillation(task: Task, run: RunFolder) -> Trained:
    joint = stages.initialised(task, run)
    teacher = taught.posterior(joint, task.settings.em.condition)
    return _taught(task, run, joint, "distillation", teacher, *INITIAL, by_posterior=True)


def _mask_only(task: Task, run: RunFolder) -> Trained:
    joint = stages.initialised(task, run)
    return _taught(task, run, joint, "mask-only", taught.closed_form(joint), "part-model")


def _taught(
    task: Task,
    run: RunFolder,
    joint: JointModel,
    name: str,
    teacher: taught.Teacher,
    *before: str,
    by_posterior: bool = False,
) -> Trained:
    pupil = taught.Taught(joint.part_model, teacher, task.settings.em, joint.y, joint.weights)
    stages.baseline(task, run, joint, name, pupil, by_posterior=by_posterior)
    return _measured(task, run, joint, name, *before)


def _self_training(task: Task, run: RunFolder, joint: JointModel) -> Baseline:
    teacher = taught.itself(joint.part_model, joint.y)
    return taught.Taught(joint.part_model, teacher, task.settings.em, joint.y)


def _ada_bn(task: Task, run: RunFolder) -> Trained:
    joint = stages.fine_tuned(task, run, "fine-tuning")
    adapted = ada_bn.adapted(joint.part_model, task.coarse_feed.plain())
    return _measured(task, run, replace(joint, part_model=adapted), "ada-bn", "fine-tuning")


def _shuffled(task: Task, run: RunFolder) -> Trained:
    joint, shuffled = stages.initialised(task, run), task.with_labels_shuffled()
    joint.theta_k.load_state_dict(stages.fresh(task, run).theta_k.state_dict())
    stages.label_models(shuffled, run, joint, "shuffled-label-models")
    stages.expectation_maximisation(shuffled, run, joint, "shuffled-labels")
    return _measured(task, run, joint, "shuffled-labels", *INITIAL[:2], "shuffled-label-models")


def _upper_bound(task: Task, run: RunFolder) -> Trained:
    return _measured(task, run, stages.upper_bound(task, run), "upper-bound")


# ---- rows -------------------------------------------------------------------------------------------------------


def _measured(task: Task, run: RunFolder, joint: JointModel, name: str, *before: str) -> Trained:
    """What a method comes to that is one part model, trained by the stages ``before`` and one of its own name."""
    return Trained(joint, [_row(task, run, joint, name, "part", *before, name)])


def _row(task: Task, run: RunFolder, joint: JointModel, name: str, model: str, *trained: str) -> dict[str, Any]:
    """A row of results: method, seed, measures in percent, the seconds that some stages ``trained`` for, and the
    confusion counts of each measured image."""
    s = task.settings
    measures = measured(joint, task.schema, model, task.measured_feed, s.em.condition, s.looks_twice)
    low, high = measures["ci95"]
    return {
        "method": name,
        "seed": task.seed,
        "part_miou": measures["part_miou"],
        "miou": measures["miou"],
        "ci95_low": low,
        "ci95_high": high,
        "seconds": run.seconds(*dict.fromkeys(trained), stages.BEFORE_ALL),
        "iou": measures["iou"],
        "counts": measures["counts"],
    }


METHODS = {
    "em": Method("ours", "the joint model, by Algorithm 1", _em, 1.0, ("coarse", "labels"), posterior=True),
    "fine-tuning": Method("baseline", "the part masks alone", _fine_tuning, 0.27),
    "frozen-probe": Method("baseline", "a decoder on the encoder as it is, by part masks alone", _frozen_probe, 0.15),
    "pseudo-sup": Method(
        "baseline",
        "two networks label the coarse images for each other",
        _with_baseline("pseudo-sup", _pseudo_sup),
        0.5,
        ("coarse",),
    ),
    "multi-task": Method(
        "baseline",
        "one encoder learns parts, keypoints and masks",
        _with_baseline("multi-task", _multi_task),
        0.3,
        ("coarse", "points or masks"),
    ),
    "point-sup": Method(
        "baseline",
        "keypoints mark the parts that a table gives them",
        _with_baseline("point-sup", _point_sup),
        0.3,
        ("coarse", "points or filled masks"),
    ),
    "uni-match": Method(
        "opponent",
        "consistency under strong augmentation, no coarse label",
        _with_baseline("uni-match", _uni_match),
        0.6,
        ("coarse",),
    ),
    "distillation": Method(
        "control",
        "EM's part model from the posterior as it began",
        _distillation,
        0.5,
        ("coarse", "labels"),
        posterior=True,
    ),
    "self-training": Method(
        "control",
        "the part model's own labels of the coarse images",
        _with_baseline("self-training", _self_training),
        0.3,
        ("coarse",),
    ),
    "ada-bn": Method(
        "control", "fine-tuning with batch norm's statistics of the coarse images", _ada_bn, 0.27, ("coarse",)
    ),
    "mask-only": Method(
        "control",
        "EM in closed form: the part model's labels cut by the mask",
        _mask_only,
        0.4,
        ("exclusive parts", "coarse", "masks"),
    ),
    "shuffled-labels": Method(
        "control", "EM with each image's coarse labels given to another", _shuffled, 1.0, ("coarse", "labels")
    ),
    "upper-bound": Method("bound", "the part masks of all images", _upper_bound, 0.33, ("hidden parts",)),
}
"""What ``train`` and ``compare`` can train, by name."""
