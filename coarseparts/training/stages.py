"""The stages of section 5.2, Algorithm 1 and the baselines: networks and a task in, trained networks out.

A stage begins from the best epoch of the stage before it, everything random follows from the seed and the epoch's
number, and each stage saves itself once an epoch in the run folder that it is given: called again, it goes on as if
nothing had happened, and where it had come to its end it reads what it was. So nothing needs to be remembered from one
method to the next. Every function moves the networks that it is given and returns the stage, with its history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

import numpy as np
import torch
from rich.text import Text
from torch import Tensor, nn

from coarseparts import em, initialise
from coarseparts.baselines import fine_tuning
from coarseparts.baselines.baseline import Baseline
from coarseparts.baselines.frozen_probe import FrozenProbe
from coarseparts.data.sample import Batch
from coarseparts.joint import JointModel
from coarseparts.networks import KeypointDetector, PartModel, members
from coarseparts.system import parallel
from coarseparts.system.device import compile_networks
from coarseparts.training import teaching
from coarseparts.training.checkpoints import Stage
from coarseparts.training.measure import label_misfit, measured, part_maps
from coarseparts.training.networks import build, keypoint_decoder, optimizer_of
from coarseparts.training.run_folder import Judge, RunFolder
from coarseparts.training.task import Task
from coarseparts.updates import Data, Terms, fit, moving_average

INITIAL = ("part-model", "posterior", "label-models")
"""The stages of section 5.2, before Algorithm 1."""

BEFORE_ALL = "keypoint-start"

SHOWN = 6
"""Validation images whose predictions are kept each epoch, for the report's progress strips."""


# ---- networks before they are trained -------------------------------------------------------------------------------


def fresh(task: Task, run: RunFolder, twin: int = 0) -> JointModel:
    """What every method starts from, the same whenever a task asks for it: networks with the settings' weights, whose
    encoders know keypoints if ``start`` says so; ``twin`` 1: others."""
    joint = untrained(task, twin)
    if task.settings.start == "keypoints":
        learned = _knowing_keypoints(task, run)
        for encoder in [cast(PartModel, joint.part_model).encoder] + [m.encoder for m in members(joint.posterior)]:
            encoder.load_state_dict(learned)
    return joint


def untrained(task: Task, twin: int = 0) -> JointModel:
    """Networks with the settings' weights."""
    torch.manual_seed(task.seed + 10_007 * twin)
    joint = build(task.schema, task.settings, task.styles)
    joint.subsets = None if task.subsets is None else task.subsets.to(task.device)
    for module in joint.trained:
        _placed(task, module)
    _compile(task, joint.part_model, *members(joint.posterior))
    return joint


def _compile(task: Task, *modules: nn.Module) -> None:
    if task.settings.compile:
        compile_networks(modules, graphs=task.settings.compile == "reduce-overhead")


def _placed(task: Task, module: nn.Module) -> None:
    if task.settings.sync_batch_norm:
        parallel.share_batch_norm(module)
    module.to(task.device)


def _knowing_keypoints(task: Task, run: RunFolder) -> dict[str, Tensor]:
    """Weights of an image encoder that has learned to predict the training images' keypoints."""
    s, rows = task.settings, task.store.rows("train", has="keypoints")
    if not len(rows):
        raise ValueError("start: keypoints needs training images with keypoints; take --set start=weights")
    network = cast(PartModel, untrained(task).part_model)
    decoder, style = keypoint_decoder(network, task.schema, s)
    detector = KeypointDetector(network, decoder)
    for module in (detector, style.theta):
        _placed(task, module)
    optimizer = optimizer_of(s, [(detector, s.part_lr)])
    stage = run.stage(BEFORE_ALL, {"detector": detector}, [optimizer], s.keypoint_epochs)
    feed = task.feed(rows, s.batch, 7)
    steps = max(len(feed), s.em_epoch_steps)
    loss = initialise.keypoint_loss(detector, style)
    _fit(task, run, stage, detector, loss, lambda e: feed.epoch(e, steps), steps, lambda _, t: (-t["keypoints"], t))
    return detector.encoder.state_dict()


# ---- section 5.2 ----------------------------------------------------------------------------------------------------


def part_model(task: Task, run: RunFolder, joint: JointModel, name: str = INITIAL[0], twin: int = 0) -> Stage:
    """Stage 1: f(y|x) from the part labels; ``twin`` 1 sees them in another order."""
    return _supervised_part_model(task, run, joint, name, task.settings.part_epochs, twin)


def posterior(task: Task, run: RunFolder, joint: JointModel) -> Stage:
    """Stage 2: f(y|x, y1..yn) from the part-labelled images and their coarse labels."""
    s, network = task.settings, joint.posterior
    slow = s.posterior_lr * s.posterior_encoder_factor
    groups: list[tuple[nn.Module, float]] = []
    for one in members(network):
        if s.posterior_start == "part-model":
            one.encoder.load_state_dict(cast(PartModel, joint.part_model).encoder.state_dict())
        groups += [(one.encoder, slow), (one.label_encoder, s.posterior_lr), (one.decoder, s.posterior_lr)]
    stage = run.stage(INITIAL[1], {"posterior": network}, [optimizer_of(s, groups)], s.posterior_epochs)
    loss = initialise.posterior_loss(joint, s.label_dropout, s.em.dice, s.em.blank)
    steps = task.part_steps
    batches = lambda e: task.part_feed.epoch(e, steps)  # noqa: E731
    return _fit(task, run, stage, network, loss, batches, steps, _by_part_miou(task, joint, "posterior"))


def label_models(task: Task, run: RunFolder, joint: JointModel, name: str = INITIAL[2]) -> Stage | None:
    """Stage 3: the learned p(yk|y), from true parts and from the posterior's parts of the coarse images (the part
    model's, where the posterior needs p(yk|y) itself); then the scale of every p(yk|y). None where there is nothing to
    learn."""
    s, stage = task.settings, None
    if any(style.learned for style in joint.styles.values()):
        rows = task.rows.part
        if len(task.rows.coarse):  # about a third of what is seen has true parts
            copies = max(1, len(task.rows.coarse) // (2 * len(rows)))
            rows = np.concatenate([task.rows.coarse, np.repeat(rows, copies)])
        feed = task.feed(rows, s.batch, 4)
        optimizer = optimizer_of(s, [(joint.theta_k, s.label_lr)], False)
        stage = run.stage(name, {"styles": joint.theta_k}, [optimizer], s.label_epochs)
        joint.posterior.eval()
        loss = initialise.label_model_loss(joint, joint.parts if joint.infer_missing else joint.infer)

        def judge(_: int, terms: dict[str, float]) -> tuple[float, dict[str, float]]:
            scales, held_out = _fit_scales(task, joint), label_misfit(joint, task.val_feed.plain())
            return -sum(held_out.values()), terms | scales | held_out

        steps = s.label_steps
        _fit(task, run, stage, joint.theta_k, loss, lambda e: feed.epoch(e, steps), steps, judge)
    _fit_scales(task, joint)
    return stage


def initialised(task: Task, run: RunFolder) -> JointModel:
    """The networks that Algorithm 1 starts from."""
    joint = fresh(task, run)
    part_model(task, run, joint)
    then = (label_models, posterior) if joint.infer_missing else (posterior, label_models)
    for stage in then:
        stage(task, run, joint)
    return joint


# ---- Algorithm 1 and what it is compared with -----------------------------------------------------------------------


def expectation_maximisation(task: Task, run: RunFolder, joint: JointModel, name: str = "em") -> Stage:
    """Stage 4: Algorithm 1 from where the networks are. The best epoch is that of the part model."""
    s, o = task.settings, task.settings.em.where(labels_differ=task.subsets is not None)
    learned = any(style.learned for style in joint.styles.values())
    optimizers = em.Optimizers(
        optimizer_of(s, [(joint.part_model, s.em_part_lr)]),
        optimizer_of(s, [(joint.posterior, s.em_posterior_lr)]),
        optimizer_of(s, [(joint.theta_k, s.em_label_lr)], False) if learned else None,
    )
    modules = {"part_model": joint.part_model, "posterior": joint.posterior, "styles": joint.theta_k}
    if o.average:
        joint.average = moving_average(joint.posterior, lambda _: o.average)
        _compile(task, *members(joint.average.module))
        modules["average"] = joint.average
    modules |= _averaged(task, joint)
    stage = run.stage(name, modules, optimizers.each(), s.em_epochs)

    def both() -> dict[str, float]:
        return {f"val/{m}_part_miou": validated(task, joint, m)["part_miou"] for m in ("part", "posterior")}

    if not stage.history:
        stage.history += [(0, measure, value) for measure, value in both().items()]
        _keep_maps(task, run, joint, name, 0)

    def judge(epoch: int, terms: dict[str, float]) -> tuple[float, dict[str, float]]:
        scales, values = _fit_scales(task, joint), both()
        _keep_maps(task, run, joint, name, epoch)
        return values["val/part_part_miou"], terms | scales | values

    also = _choosing(task, run, joint, stage, judge)
    with run.epochs(stage, task.pairs, task.em_steps, also, task.seed, joint.follow) as epochs:
        em.train(joint, optimizers, o, epochs)
    joint.settle()
    return stage


def fine_tuned(task: Task, run: RunFolder, start: str, twin: int = 0) -> JointModel:
    """Networks whose part model the stage ``start`` ("part-model" or "fine-tuning") has trained; ``twin`` 1: another
    one, from another beginning and with the images in another order.

    Fine-tuning is the baseline: part labels alone, with at least as many optimizer steps as all of EM's part model.
    """
    joint, name = fresh(task, run, twin), f"{start}-2" if twin else start
    if start == "part-model":
        part_model(task, run, joint, name, twin)
    else:
        _supervised_part_model(task, run, joint, name, _fine_tuning_epochs(task), twin)
    return joint


def frozen_probe(task: Task, run: RunFolder) -> JointModel:
    """Fine-tuning of the decoder alone, on the encoder as its weights are."""
    joint = fresh(task, run)
    probe = FrozenProbe(cast(PartModel, joint.part_model))
    _supervised_part_model(task, run, joint, "frozen-probe", _fine_tuning_epochs(task), network=probe)
    return joint


def upper_bound(task: Task, run: RunFolder) -> JointModel:
    """Fine-tuning with the part masks of all images."""
    joint, rows = fresh(task, run), np.concatenate([task.rows.part, task.rows.hidden])
    _supervised_part_model(task, run, joint, "upper-bound", _fine_tuning_epochs(task), rows=rows)
    return joint


def baseline(
    task: Task,
    run: RunFolder,
    joint: JointModel,
    name: str,
    networks: Baseline,
    rate: float = 1.0,
    by_posterior: bool = False,
) -> Stage:
    """Trains a baseline, whose part model is ``joint``'s, with EM's pairs of batches, schedule and number of steps;
    ``by_posterior``: it is the posterior that teaches, what it knows better."""
    _placed(task, networks)
    rest = nn.ModuleDict({k: m for k, m in networks.named_children() if k != "part_model"})
    modules = {"part_model": networks.part_model, "rest": rest}
    optimizer = optimizer_of(task.settings, [(m, rate * task.settings.em_part_lr) for m in modules.values()])
    stage = run.stage(name, modules | _averaged(task, joint), [optimizer], task.settings.em_epochs)

    def loss(pair: tuple[Batch, Batch], generator: torch.Generator) -> Terms:
        return networks.terms(*pair, generator)

    judge = _by_part_miou(task, joint, "part")
    if by_posterior:
        judge = _choosing(task, run, joint, stage, judge)
    return _fit(task, run, stage, networks, loss, task.pairs, task.em_steps, judge, joint)


# ---- what they share ------------------------------------------------------------------------------------------------


def validated(task: Task, joint: JointModel, model: str) -> dict[str, Any]:
    """Measures on the validation images: ``model`` "part" sees the image, "posterior" its coarse labels too."""
    return measured(joint, task.schema, model, task.val_feed, task.settings.em.condition)


def _supervised_part_model(
    task: Task,
    run: RunFolder,
    joint: JointModel,
    name: str,
    epochs: int,
    twin: int = 0,
    rows: np.ndarray | None = None,
    network: FrozenProbe | None = None,
) -> Stage:
    """The part model, or what of it the ``network`` around it moves, learns from part masks alone: those of ``rows``,
    whoever may see them, or else of the task."""
    s, moved = task.settings, joint.part_model if network is None else cast(PartModel, joint.part_model).decoder
    modules = {"part_model": joint.part_model} | _averaged(task, joint)
    stage = run.stage(name, modules, [optimizer_of(s, [(moved, s.part_lr)])], epochs)
    feed = task.part_feed if not twin else task.feed(task.rows.part, s.part_batch, 6)
    if rows is not None:
        feed = task.feed(rows, s.batch, 5, task.full)
    learner = network or joint.part_model
    loss, steps = initialise.part_model_loss(learner, joint.y, s.em.dice), task.part_steps
    batches = lambda e: feed.epoch(e, steps)  # noqa: E731
    return _fit(task, run, stage, learner, loss, batches, steps, _by_part_miou(task, joint, "part"), joint)


def _fine_tuning_epochs(task: Task) -> int:
    s = task.settings
    return fine_tuning.epochs_to_match(task.part_steps, s.part_epochs, task.em_steps, s.em_epochs)


def _fit(
    task: Task,
    run: RunFolder,
    stage: Stage,
    network: nn.Module,
    loss: Callable[[Data, torch.Generator], Terms],
    batches: Callable[[int], Iterable[Data]],
    steps: int,
    judge: Judge,
    averages: JointModel | None = None,
) -> Stage:
    """Trains what is left of a stage that has one optimizer; ends with the weights of its best epoch, those of the
    ``averages`` where there are any."""
    on_step = (lambda: None) if averages is None else averages.follow
    with run.epochs(stage, batches, steps, judge, task.seed, on_step) as epochs:
        fit(network, stage.optimizers[0], loss, epochs, task.settings.em.clip)
    if averages is not None:
        averages.settle()
    return stage


def _averaged(task: Task, joint: JointModel) -> dict[str, nn.Module]:
    """The moving average of the part model, for a stage to keep; {} where the settings want none."""
    share = task.settings.part_average
    if not share:
        return {}
    # A young average forgets faster.
    joint.part_average = moving_average(joint.part_model, lambda steps: min(share, (1 + steps) / (10 + steps)))
    _compile(task, joint.part_average.module)
    return {"part_average": joint.part_average}


def _by_part_miou(task: Task, joint: JointModel, model: str) -> Judge:
    """Keeps the epoch in which ``model``'s parts are best on the validation images."""

    def judge(_: int, terms: dict[str, float]) -> tuple[float, dict[str, float]]:
        score = validated(task, joint, model)["part_miou"]
        return score, terms | {f"val/{model}_part_miou": score}

    return judge


def _choosing(task: Task, run: RunFolder, joint: JointModel, stage: Stage, judge: Judge) -> Judge:
    """``judge``, who chooses what teaches next, too: now, if there is something left to train, and after each epoch."""

    def chosen(epoch: int) -> dict[str, float]:
        weights = teaching.choose(task, joint)
        if epoch in (0, 1) and any(weight < 1 for weight in weights.values()):
            each = ", ".join(f"{weight:.2f} given {name}" for name, weight in weights.items())
            run.console.print(Text(f"  {stage.name}: a coarse image's weight in epoch {epoch + 1}: {each}"))
        return {f"weight/{name}": weight for name, weight in weights.items()}

    def also(epoch: int, terms: dict[str, float]) -> tuple[float, dict[str, float]]:
        score, values = judge(epoch, terms)
        return score, values | (chosen(epoch) if epoch < stage.epochs else {})

    if stage.epoch < stage.epochs:
        chosen(stage.epoch)
    return also


def _fit_scales(task: Task, joint: JointModel) -> dict[str, float]:
    fitted = initialise.fit_scales(joint, task.val_feed.plain())
    return {f"scale/{name}": float(scale.mean()) for name, scale in fitted.items()}


def _keep_maps(task: Task, run: RunFolder, joint: JointModel, name: str, epoch: int) -> None:
    """Part maps of a few validation images by both models, for the strips that show EM's progress."""
    rows = task.rows.val[:: max(1, len(task.rows.val) // SHOWN)][:SHOWN]
    maps = {model: part_maps(task, joint, model, rows) for model in ("part", "posterior")}
    run.keep_maps(name, epoch, rows=rows, **maps)
