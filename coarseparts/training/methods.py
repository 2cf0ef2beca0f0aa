"""Every method by name: what it is, what it asks of the data, how it is trained and which rows it gives.

All methods of one experiment share networks, augmentation, batches and the number of optimizer steps; what they have
in common (the fine-tuned part model, the initial posterior) is trained once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from rich.text import Text

from coarseparts.baselines import ada_bn, point_sup, taught
from coarseparts.baselines.baseline import Baseline, BaselineOptions
from coarseparts.baselines.multi_task import MultiTask
from coarseparts.baselines.point_sup import PointSup
from coarseparts.baselines.pseudo_sup import PseudoSup
from coarseparts.baselines.uni_match import UniMatch
from coarseparts.data.roles import Rows
from coarseparts.labels import STYLES
from coarseparts.networks import PartModel
from coarseparts.system.text import readable
from coarseparts.training.experiment import INITIAL, Experiment
from coarseparts.training.networks import keypoint_decoder, mask_decoder

Results = list[dict[str, Any]]


@dataclass(frozen=True)
class Method:
    """``role`` says what a table may conclude from it; ``train`` gives result rows, the method's own last.

    ``cost``: time relative to EM's with all that comes before it, as measured on the synthetic birds; ``asks``: what it
    cannot do without, see ``lack``; ``posterior``: whether it leaves one that may be exported.
    """

    role: Literal["ours", "baseline", "opponent", "control", "bound"]
    text: str
    train: Callable[[Experiment], Results]
    cost: float
    asks: tuple[str, ...] = ()
    posterior: bool = False

    @property
    def labels(self) -> bool:
        """Whether it looks at coarse labels."""
        return bool({"labels", "points or masks", "points or filled masks", "masks"} & set(self.asks))


def check(experiment: Experiment, methods: Sequence[str]) -> None:
    """Raises ValueError, naming all reasons, when the data set does not allow one of ``methods``."""
    reasons = []
    for name in methods:
        if name not in METHODS:
            reasons.append(f"method {name!r} is unknown; choose one of {', '.join(METHODS)}")
            continue
        for ask in METHODS[name].asks:
            if what := lack(experiment.rows, experiment.styles, ask, experiment.schema.overlapping):
                reasons.append(f"{name} needs {what}")
                break
    unknown = sorted(set(experiment.settings.em.lambdas) - set(STYLES))
    if unknown:
        reasons.append(f"em.lambdas: {', '.join(unknown)} is no label style; there are {', '.join(STYLES)}")
    if reasons:
        raise ValueError("\n".join(reasons))


def train(experiment: Experiment, method: str) -> Results:
    """Trains one method and returns its result rows: method, seed, measures, seconds of training.

    For "em" that is also the posterior before and after. Raises ValueError as ``check`` does.
    """
    check(experiment, [method])
    return METHODS[method].train(experiment)


def lack(rows: Rows, styles: Iterable[str], ask: str, overlapping: bool = False) -> str:
    """What of ``ask`` (``Method.asks``) the data have not, and the remedy; "" if they have it."""
    there = set(styles)
    if ask == "coarse" and not len(rows.coarse):
        return "training images without part masks; add such a source, or take fine-tuning"
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
        return "part masks beyond the part limit; there are none"
    return ""


# ---- ours -------------------------------------------------------------------------------------------------------


def _em(e: Experiment) -> Results:
    e.initialise()
    before = e.before
    e.train_em()
    return [
        e.result("posterior", before, *INITIAL),
        e.result("em-posterior", e.measure("posterior"), *INITIAL, "em"),
        e.result("em", e.measure("part"), *INITIAL, "em"),
    ]


# ---- section 5.1's baselines and a modern opponent --------------------------------------------------------------


def _fine_tuning(e: Experiment) -> Results:
    e.train_fine_tuning()
    return [e.result("fine-tuning", e.measure("part"), "fine-tuning")]


def _with_baseline(name: str, build: Callable[[Experiment, PartModel], Baseline]) -> Callable[[Experiment], Results]:
    def run(e: Experiment) -> Results:
        o: BaselineOptions = getattr(e.settings, name.replace("-", "_"))
        e.fit_baseline(name, build(e, e.fine_tuned(o.start)), o.rate)
        twin = [f"{o.start}-2"] if name == "pseudo-sup" else []
        return [e.result(name, e.measure("part"), o.start, *twin, name)]

    return run


def _pseudo_sup(e: Experiment, network: PartModel) -> Baseline:
    o = e.settings.pseudo_sup
    return PseudoSup(network, e.fine_tuned(o.start, 1), o, e.networks.y, e.settings.em.dice)


def _multi_task(e: Experiment, network: PartModel) -> Baseline:
    s = e.settings
    torch.manual_seed(e.seed + 1)
    decoder, keypoints = keypoint_decoder(network, e.schema, s) if "keypoints" in e.styles else (None, None)
    figure = mask_decoder(network, s) if "mask" in e.styles and e.schema.overlapping else None
    use_mask = "mask" in e.styles
    return MultiTask(network, decoder, keypoints, use_mask, s.multi_task, e.networks.y, s.em.dice, figure)


def _point_sup(e: Experiment, network: PartModel) -> Baseline:
    s = e.settings
    assigned: list[int] = []
    if "keypoints" in e.styles:
        assigned = e.assigned or point_sup.propose(e.part_feed.plain(), len(e.schema.keypoints), e.networks.y)
    names = ("-", *e.schema.parts)
    for name, part in zip(e.schema.keypoints, assigned, strict=False):
        e.console.print(Text(readable(f"  {name}: {names[part]}")))
    use_mask = "mask" in e.styles and not e.schema.overlapping  # parts that overlap do not fill it
    return PointSup(network, assigned, use_mask, s.point_sup, e.networks.y, s.em.dice)


def _uni_match(e: Experiment, network: PartModel) -> Baseline:
    return UniMatch(network, e.schema.value_flip(), e.settings.uni_match, e.networks.y, e.settings.em.dice)


# ---- controls: what else could explain the gain -----------------------------------------------------------------


def _distillation(e: Experiment) -> Results:
    return _taught(e, "distillation", taught.posterior(e.initialised(), e.settings.em.condition), *INITIAL)


def _mask_only(e: Experiment) -> Results:
    return _taught(e, "mask-only", taught.closed_form(e.initialised()), "part-model")


def _taught(e: Experiment, name: str, teacher: taught.Teacher, *stages: str) -> Results:
    e.fit_baseline(name, taught.Taught(e.networks.part_model, teacher, e.settings.em, e.networks.y))
    return [e.result(name, e.measure("part"), *stages, name)]


def _self_training(e: Experiment, network: PartModel) -> Baseline:
    return taught.Taught(network, taught.itself(network, e.networks.y), e.settings.em, e.networks.y)


def _ada_bn(e: Experiment) -> Results:
    e.train_fine_tuning()
    network = ada_bn.adapted(e.networks.part_model, e.coarse_feed.plain())
    e.networks.part_model = network
    return [e.result("ada-bn", e.measure("part"), "fine-tuning")]


def _shuffled(e: Experiment) -> Results:
    e.initialise()
    with e.labels_shuffled():
        e.train_label_models("shuffled-label-models")
        e.train_em("shuffled-labels")
    return [e.result("shuffled-labels", e.measure("part"), *INITIAL[:2], "shuffled-label-models", "shuffled-labels")]


def _upper_bound(e: Experiment) -> Results:
    e.train_fine_tuning("upper-bound", np.concatenate([e.rows.part, e.rows.hidden]))
    return [e.result("upper-bound", e.measure("part"), "upper-bound")]


METHODS = {
    "em": Method("ours", "the joint model, by Algorithm 1", _em, 1.0, ("coarse", "labels"), posterior=True),
    "fine-tuning": Method("baseline", "the part masks alone", _fine_tuning, 0.27),
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
