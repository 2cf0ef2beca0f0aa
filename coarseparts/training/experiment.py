"""Data and settings to a finished run: stages, baselines and controls in one run folder, resumable, then a report.

The only file that knows all the others. A stage begins from the best epoch of the stage before it, everything random
follows from the seed and the epoch's number, and each stage saves itself once an epoch: a run that was stopped goes
on as if nothing had happened.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn

from coarseparts import em, initialise
from coarseparts.baselines import fine_tuning, point_sup
from coarseparts.baselines.baseline import Baseline
from coarseparts.data.batches import Feed
from coarseparts.data.roles import split_rows
from coarseparts.data.sample import Batch
from coarseparts.data.store import Store
from coarseparts.joint import JointModel
from coarseparts.labels import STYLES
from coarseparts.networks import KeypointDetector, PartModel, members
from coarseparts.system import parallel
from coarseparts.system.device import compile_networks, finite
from coarseparts.training.claims import write
from coarseparts.training.measure import label_misfit, measured, predictions
from coarseparts.training.networks import build, keypoint_decoder, optimizer_of
from coarseparts.training.run_folder import RunFolder, Stage, Track
from coarseparts.training.settings import Settings
from coarseparts.updates import Data, OnEpoch, Terms, TrainingDiverged, fit, moving_average

INITIAL = ("part-model", "posterior", "label-models")
"""The stages of section 5.2, before Algorithm 1."""

SHOWN = 6
"""Validation images whose predictions are kept each epoch, for the report's progress strips."""


def _in_words(measure: str, value: float) -> str:
    """A validation measure for the log: "part model 61.2 %", "keypoints 1.75"."""
    model, is_iou, _ = measure.partition("_part_miou")
    return f"{'part model' if model == 'part' else model} {value:.2f}{' %' if is_iou else ''}"


class Experiment:
    """One seed of one data set in one run folder.

    ``store`` of the training size; ``settings`` resolved (``model.resolve``); ``styles`` the coarse labels in use
    (default: all that any training row carries); ``part_limit`` and ``drop_rest`` as in ``roles.split_rows``;
    ``keypoint_parts`` the part of each keypoint, by name, for point-sup (default: proposed from the part-labelled
    images; ValueError names what is unknown). Epochs are chosen on the validation images; results are measured on the
    split ``measure``.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        folder: Path,
        seed: int = 0,
        device: str = "cpu",
        styles: Iterable[str] | None = None,
        part_limit: int | None = None,
        crop: dict[str, Any] | None = None,
        measure: str = "val",
        config: dict[str, Any] | None = None,
        keypoint_parts: dict[str, str | None] | None = None,
        console: Console | None = None,
        drop_rest: bool = False,
    ):
        self.settings, self.seed, self.device = settings, seed, device
        self.schema, self.size, self.crop = store.schema, store.size, crop or {"to": "none", "margin": 0.0}
        self.rows = split_rows(store, part_limit, drop_rest)
        train = np.concatenate([self.rows.part, self.rows.coarse])
        there = [s for s in STYLES if store.present[s][train].any() and (s != "keypoints" or store.schema.keypoints)]
        self.styles = there if styles is None else [s for s in there if s in set(styles)]
        self.full = store
        self.assigned: list[int] | None = None
        if keypoint_parts is not None:
            self.assigned = point_sup.from_names(keypoint_parts, store.schema.keypoints, store.schema.parts)
        self.store = store.labels_limited(self.styles).without_parts(self.rows.hidden)
        self.console = console or Console(stderr=True, markup=False, emoji=False, highlight=False)
        self.run = RunFolder(
            folder,
            {
                "coarseparts": 1,
                "seed": seed,
                "styles": self.styles,
                "images": {k: len(getattr(self.rows, k)) for k in ("part", "coarse", "val")},
                "size": self.size,
                "data_hash": store.key,
                "settings": settings.model_dump(mode="json"),
                **(config or {}),
            },
            json.dumps(store.schema.model_dump(mode="json"), indent=1),
        )
        s = settings
        for key in ("part_batch", "batch", "labelled_batch"):
            parallel.share(getattr(s, key), f"--set {key}: a batch")
        self.networks = self._untrained()
        self.part_feed = self._feed(self.store, self.rows.part, s.part_batch, 1)
        self.part_steps = max(len(self.part_feed), s.epoch_steps)
        self.val_feed = self._feed(self.store, self.rows.val, 32, 0)
        measured = self.rows.val if measure == "val" else self.store.rows(measure, has="parts")
        if not len(measured):
            raise ValueError(f"no part-labelled images in split {measure!r} to measure on; add such a source")
        self.measure_feed = self._feed(self.store, measured, 32, 0)
        if len(self.rows.coarse):
            self.coarse_feed = self._feed(self.store, self.rows.coarse, s.batch, 2)
            self.labelled_feed = self._feed(self.store, self.rows.part, s.labelled_batch, 3)
            self.em_steps = max(len(self.coarse_feed), s.em_epoch_steps)
        self._initial: dict[str, Any] | None = None
        self._trained: dict[str, JointModel] = {}  # by stage of EM

    def _untrained(self, twin: int = 0) -> JointModel:
        """Networks with the settings' weights, the same whenever this seed asks for them; ``twin`` 1: others."""
        torch.manual_seed(self.seed + 10_007 * twin)
        networks = build(self.schema, self.settings, self.styles)
        for module in (networks.part_model, networks.posterior, networks.theta_k):
            self._placed(module)
        self._compile(networks.part_model, *members(networks.posterior))
        return networks

    def _compile(self, *modules: nn.Module) -> None:
        if self.settings.compile:
            compile_networks(modules, graphs=self.settings.compile == "reduce-overhead")

    def _placed(self, module: nn.Module) -> None:
        if self.settings.sync_batch_norm:
            parallel.share_batch_norm(module)
        module.to(self.device)

    def fresh(self, twin: int = 0) -> JointModel:
        """What every method starts from: ``_untrained``, with encoders that know keypoints if ``start`` says so."""
        networks = self._untrained(twin)
        if self.settings.start == "keypoints":
            learned = self._knowing_keypoints()
            encoders = [cast(PartModel, networks.part_model).encoder] + [m.encoder for m in members(networks.posterior)]
            for encoder in encoders:
                encoder.load_state_dict(learned)
        return networks

    def _knowing_keypoints(self) -> dict[str, Tensor]:
        """Weights of an image encoder that has learned to predict the training images' keypoints."""
        s, name = self.settings, "keypoint-start"
        if name not in self.run.stages:
            rows = self.store.rows("train", has="keypoints")
            if not len(rows):
                raise ValueError("start: keypoints needs training images with keypoints; take --set start=weights")
            network = cast(PartModel, self._untrained().part_model)
            decoder, style = keypoint_decoder(network, self.schema, s)
            detector = KeypointDetector(network, decoder)
            for module in (detector, style.theta):
                self._placed(module)
            optimizer = optimizer_of(s, [(detector, s.part_lr)])
            stage = self.run.stage(name, {"detector": detector}, [optimizer], s.keypoint_epochs)
            feed = self._feed(self.store, rows, s.batch, 7)
            steps = max(len(feed), s.em_epoch_steps)

            def close(epoch: int, terms: dict[str, float]) -> None:
                self._close(stage, epoch, -terms["keypoints"], terms)

            loss = initialise.keypoint_loss(detector, style)
            self._fit(stage, detector, optimizer, loss, lambda e: feed.epoch(e, steps), steps, close)
        detector = cast(KeypointDetector, self.run.stages[name].modules["detector"])
        return detector.encoder.state_dict()

    def _feed(self, store: Store, rows: np.ndarray, size: int, salt: int) -> Feed:
        s = self.settings
        return Feed(store, rows, size, self.seed, salt, self.device, s.augmentation, s.preprocess)

    # ---- stages -------------------------------------------------------------------------------------------------

    def initialise(self) -> dict[str, Any]:
        """Section 5.2's stages up to EM; afterwards ``networks`` hold what Algorithm 1 starts from.

        Returns the validation measures of the part model and the posterior by then.
        """
        if self._initial is None:
            self.networks = self.fresh()
            self.train_part_model()
            self.train_posterior()
            self.train_label_models()
            self._initial = {"part": self.evaluate("part"), "posterior": self.evaluate("posterior")}
            self.before = self.measure("posterior")
            self._saved = copy.deepcopy(self._weights())
        else:
            for name, module in self._modules().items():
                module.load_state_dict(self._saved[name])
        return self._initial

    def initialised(self) -> JointModel:
        """The networks that Algorithm 1 starts from."""
        self.initialise()
        return self.networks

    def _modules(self) -> dict[str, nn.Module]:
        n = self.networks
        return {"part_model": n.part_model, "posterior": n.posterior, "styles": n.theta_k}

    def _weights(self) -> dict[str, Any]:
        return {name: module.state_dict() for name, module in self._modules().items()}

    def train_part_model(self, name: str = "part-model", twin: int = 0) -> Stage:
        """Stage 1: f(y|x) from the part labels; ``twin`` 1 sees them in another order."""
        s, network = self.settings, self.networks.part_model
        optimizer = optimizer_of(s, [(network, s.part_lr)])
        stage = self.run.stage(name, {"part_model": network}, [optimizer], s.part_epochs)
        feed = self._feed(self.store, self.rows.part, s.part_batch, 6) if twin else self.part_feed
        loss = initialise.part_model_loss(network, self.networks.y, s.em.dice)
        self._supervised(stage, network, optimizer, loss, feed, "part")
        return stage

    def train_posterior(self) -> Stage:
        """Stage 2: f(y|x, y1..yn) from the part-labelled images and their coarse labels."""
        s, network = self.settings, self.networks.posterior
        slow = s.posterior_lr * s.posterior_encoder_factor
        groups: list[tuple[nn.Module, float]] = []
        for one in members(network):
            if s.posterior_start == "part-model":
                one.encoder.load_state_dict(cast(PartModel, self.networks.part_model).encoder.state_dict())
            groups += [(one.encoder, slow), (one.label_encoder, s.posterior_lr), (one.decoder, s.posterior_lr)]
        optimizer = optimizer_of(s, groups)
        stage = self.run.stage("posterior", {"posterior": network}, [optimizer], s.posterior_epochs)
        loss = initialise.posterior_loss(self.networks, s.label_dropout, s.em.dice)
        self._supervised(stage, network, optimizer, loss, self.part_feed, "posterior")
        return stage

    def train_label_models(self, name: str = INITIAL[2]) -> Stage | None:
        """Stage 3: the learned p(yk|y), from true parts and from the posterior's parts of the coarse images."""
        s, styles = self.settings, self.networks.theta_k
        if any(style.learned for _, style in self.networks.styles.items()):
            rows = self.rows.part
            if len(self.rows.coarse):  # about a third of what is seen has true parts
                copies = max(1, len(self.rows.coarse) // (2 * len(rows)))
                rows = np.concatenate([self.rows.coarse, np.repeat(rows, copies)])
            feed = self._feed(self.store, rows, s.batch, 4)
            optimizer = optimizer_of(s, [(styles, s.label_lr)], False)
            stage = self.run.stage(name, {"styles": styles}, [optimizer], s.label_epochs)
            self.networks.posterior.eval()
            loss = initialise.label_model_loss(self.networks, lambda batch: self.networks.infer(batch))
            steps = s.label_steps

            def close(epoch: int, terms: dict[str, float]) -> None:
                scales = self._fit_scales()
                held_out = label_misfit(self.networks, self.val_feed.plain())
                self._close(stage, epoch, -sum(held_out.values()), terms | scales | held_out)

            self._fit(stage, styles, optimizer, loss, lambda e: feed.epoch(e, steps), steps, close)
            self._fit_scales()
            return stage
        self._fit_scales()
        return None

    def train_em(self, name: str = "em", o: em.Options | None = None) -> Stage:
        """Stage 4: Algorithm 1 from where ``initialise`` left the networks. Ends with the best epoch's weights."""
        s, n = self.settings, self.networks
        o = o or s.em
        learned = any(style.learned for _, style in n.styles.items())
        optimizers = em.Optimizers(
            optimizer_of(s, [(n.part_model, s.em_part_lr)]),
            optimizer_of(s, [(n.posterior, s.em_posterior_lr)]),
            optimizer_of(s, [(n.theta_k, s.em_label_lr)], False) if learned else None,
        )
        if o.average:
            n.average = moving_average(n.posterior, lambda _: o.average)
            self._compile(*members(n.average.module))
        modules = self._modules() | ({"average": n.average} if n.average is not None else {})
        stage = self.run.stage(name, modules, optimizers.each(), s.em_epochs)
        if not stage.history:
            initial = self.initialise() if self._initial is None else self._initial
            stage.history += [(0, f"val/{m}_part_miou", initial[m]["part_miou"]) for m in ("part", "posterior")]
            self._keep_progress(name, 0)

        def batches(epoch: int) -> Iterator[tuple[Batch, Batch]]:
            yield from track(self._pairs(epoch))

        def close(epoch: int, terms: dict[str, float]) -> None:
            terms = self._in_step(stage, terms)
            scales = self._fit_scales()
            part = self.evaluate("part")["part_miou"]
            values = {"val/part_part_miou": part, "val/posterior_part_miou": self.evaluate("posterior")["part_miou"]}
            self._keep_progress(name, epoch)
            self._close(stage, epoch, part, terms | scales | values)

        with self._progress(stage, self.em_steps) as track:
            em.train(n, optimizers, batches, o, stage.epochs, self.em_steps, close, self.seed, stage.epoch)
        stage.load_best()
        if n.average is not None:  # which is what was measured
            n.posterior.load_state_dict(n.average.module.state_dict())
            n.average = None
        self._trained[name] = n
        return stage

    def train_fine_tuning(self, name: str = "fine-tuning", rows: np.ndarray | None = None, twin: int = 0) -> Stage:
        """The baseline: part labels alone, with at least as many optimizer steps as all of EM's part model; ``twin`` 1
        sees them in another order from another beginning."""
        s = self.settings
        network = self.fresh(twin).part_model
        coarse_steps = self.em_steps if len(self.rows.coarse) else 0
        epochs = fine_tuning.epochs_to_match(self.part_steps, s.part_epochs, coarse_steps, s.em_epochs)
        optimizer = optimizer_of(s, [(network, s.part_lr)])
        stage = self.run.stage(name, {"part_model": network}, [optimizer], epochs)
        feed = self.part_feed if rows is None else self._feed(self.full, rows, s.batch, 5)
        feed = self._feed(self.store, self.rows.part, s.part_batch, 6) if twin else feed
        loss = initialise.part_model_loss(network, self.networks.y, s.em.dice)
        self.networks.part_model = network
        self._supervised(stage, network, optimizer, loss, feed, "part")
        return stage

    def fit_baseline(self, name: str, baseline: Baseline, rate: float = 1.0) -> Stage:
        """Trains a baseline with EM's pairs of batches, schedule and number of steps; its part model is then ours."""
        self._placed(baseline)
        rest = nn.ModuleDict({k: m for k, m in baseline.named_children() if k != "part_model"})
        modules = {"part_model": baseline.part_model, "rest": rest}
        optimizer = optimizer_of(self.settings, [(m, rate * self.settings.em_part_lr) for m in modules.values()])
        stage = self.run.stage(name, modules, [optimizer], self.settings.em_epochs)
        self.networks.part_model = baseline.part_model

        def close(epoch: int, terms: dict[str, float]) -> None:
            score = self.evaluate("part")["part_miou"]
            self._close(stage, epoch, score, terms | {"val/part_part_miou": score})

        def loss(pair: tuple[Batch, Batch], generator: torch.Generator) -> Terms:
            return baseline.terms(*pair, generator)

        self._fit(stage, baseline, optimizer, loss, self._pairs, self.em_steps, close)
        return stage

    def fine_tuned(self, start: str = "part-model", twin: int = 0) -> PartModel:
        """A copy of the part model as the stage ``start`` ("part-model" or "fine-tuning") left it; ``twin`` 1: another
        one, from another beginning."""
        name = f"{start}-2" if twin else start
        if name not in self.run.stages and start == "fine-tuning":
            self.train_fine_tuning(name, twin=twin)
        elif name not in self.run.stages:
            self.networks = self.fresh(twin)
            self.train_part_model(name, twin)
        stage = self.run.stages[name]
        stage.load_best()
        return copy.deepcopy(cast(PartModel, stage.modules["part_model"]))

    def _pairs(self, epoch: int) -> Iterator[tuple[Batch, Batch]]:
        """(part-labelled, coarse) batches of one epoch of EM or of a baseline."""
        yield from zip(
            self.labelled_feed.epoch(epoch, self.em_steps), self.coarse_feed.epoch(epoch, self.em_steps), strict=True
        )

    @contextmanager
    def labels_shuffled(self) -> Iterator[None]:
        """Inside, each coarse image has another one's coarse labels, and the label models are untrained."""
        store, feed = self.store, self.coarse_feed
        self.store = store.labels_swapped(self.rows.coarse, self.seed)
        self.coarse_feed = self._feed(self.store, self.rows.coarse, feed.size, feed.salt)
        self.networks.theta_k.load_state_dict(self.fresh().theta_k.state_dict())
        try:
            yield
        finally:
            self.store, self.coarse_feed = store, feed

    def restore(self, name: str) -> None:
        """Puts the best epoch of a stage that was trained back into ``networks``."""
        stage = self.run.stages[name]
        stage.load_best()
        own = {key: stage.modules[key] for key in ("part_model", "posterior", "average") if key in stage.modules}
        self.networks = replace(self._trained.get(name, self.networks), **own)  # type: ignore[arg-type]

    # ---- measures -----------------------------------------------------------------------------------------------

    def evaluate(self, model: str) -> dict[str, Any]:
        """Measures on the validation rows: ``model`` "part" sees the image, "posterior" its coarse labels too."""
        return self._measured(model, self.val_feed)

    def measure(self, model: str) -> dict[str, Any]:
        """The same on the split that results are measured on."""
        return self._measured(model, self.measure_feed)

    def _measured(self, model: str, feed: Feed) -> dict[str, Any]:
        return measured(self.networks, self.schema, model, feed, self.settings.em.condition)

    def predictions(self, model: str, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Tensor]]:
        """``measure.predictions`` of this experiment's networks as they are now."""
        return predictions(self.networks, model, batches, self.settings.em.condition)

    def probe(self, steps: int = 2) -> float:
        """About how many seconds EM and the stages before it would take, from the time of a few of its steps.

        The networks have moved afterwards: ask an experiment that is thrown away. Without coarse images: nan.
        """
        s, n = self.settings, self.networks
        if not len(self.rows.coarse):
            return math.nan
        learned = any(style.learned for _, style in n.styles.items())
        optimizers = em.Optimizers(
            optimizer_of(s, [(n.part_model, 1e-6)]),
            optimizer_of(s, [(n.posterior, 1e-6)]),
            optimizer_of(s, [(n.theta_k, 1e-6)], False) if learned else None,
        )
        took = []
        for _, (labelled, batch) in zip(range(steps + 1), self._pairs(0), strict=False):
            begin = time.perf_counter()
            em.em_step(n, optimizers, batch, labelled, s.em)
            if self.device != "cpu":
                torch.cuda.synchronize()
            took.append(time.perf_counter() - begin)
        step = sum(took[1:]) / max(1, len(took) - 1)  # the first one warms up
        # An EM step passes b + bp images about 2.3 times forward and back through a network of the part model's size.
        supervised = s.part_batch / (s.batch + s.labelled_batch) / 2.3
        before = (s.part_epochs + s.posterior_epochs) * self.part_steps * supervised
        return step * (s.em_epochs * self.em_steps + before)

    def part_maps(self, model: str, rows: np.ndarray) -> np.ndarray:
        """(N, S, S) uint8: what a model, as it is now, says of some rows of the store."""
        each = self.predictions(model, self._feed(self.store, rows, len(rows), 0).plain())
        return np.concatenate([self.networks.y.mode(log_y).to(torch.uint8).cpu().numpy() for _, log_y in each])

    def _fit_scales(self) -> dict[str, float]:
        fitted = initialise.fit_scales(self.networks, self.val_feed.plain())
        return {f"scale/{name}": float(scale.mean()) for name, scale in fitted.items()}

    def result(self, method: str, measures: dict[str, Any], *stages: str) -> dict[str, Any]:
        """A row of results: method, seed, measures in percent, the seconds that ``stages`` trained for, and the
        confusion counts of each measured image."""
        low, high = measures["ci95"]
        return {
            "method": method,
            "seed": self.seed,
            "part_miou": measures["part_miou"],
            "miou": measures["miou"],
            "ci95_low": low,
            "ci95_high": high,
            "seconds": round(sum(s.seconds for n, s in self.run.stages.items() if n in (*stages, "keypoint-start")), 1),
            "iou": measures["iou"],
            "counts": measures["counts"],
        }

    # ---- one epoch's ends ---------------------------------------------------------------------------------------

    def _supervised(
        self,
        stage: Stage,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        loss: Callable[[Batch, torch.Generator], Terms],
        feed: Feed,
        model: str,
    ) -> None:
        steps = self.part_steps

        def close(epoch: int, terms: dict[str, float]) -> None:
            score = self.evaluate(model)["part_miou"]
            self._close(stage, epoch, score, terms | {f"val/{model}_part_miou": score})

        self._fit(stage, network, optimizer, loss, lambda e: feed.epoch(e, steps), steps, close)

    def _fit(
        self,
        stage: Stage,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        loss: Callable[[Data, torch.Generator], Terms],
        batches: Callable[[int], Iterable[Data]],
        steps: int,
        close: OnEpoch,
    ) -> None:
        """Trains what is left of a stage; ends with the weights of its best epoch."""

        def close_together(epoch: int, terms: dict[str, float]) -> None:
            close(epoch, self._in_step(stage, terms))

        with self._progress(stage, steps) as track:
            fit(
                network,
                optimizer,
                loss,
                lambda epoch: track(batches(epoch)),
                stage.epochs,
                steps,
                close_together,
                self.seed,
                stage.epoch,
                self.settings.em.clip,
            )
        stage.load_best()

    def _in_step(self, stage: Stage, terms: dict[str, float]) -> dict[str, float]:
        """Before several processes measure: the same running statistics everywhere. Returns the means of ``terms``."""
        for module in stage.modules.values():
            parallel.same_buffers(module)
        return parallel.means(terms)

    def _close(self, stage: Stage, epoch: int, score: float, values: dict[str, float]) -> None:
        wrong = [name for name, module in stage.modules.items() if not finite(module)]
        if wrong:
            raise TrainingDiverged(f"the weights of {', '.join(wrong)} are not finite; lower the learning rate")
        stage.close_epoch(epoch, score, values)
        self.run.log(stage)
        shown = [_in_words(k.removeprefix("val/"), v) for k, v in values.items() if k.startswith("val/")]
        others = ("val/", "scale/", "l/", *(("m/",) if any(k.startswith("e/") for k in values) else ()))
        losses = sum(v for k, v in values.items() if not k.startswith(others))
        if epoch % max(1, stage.epochs // 10) == 0 or epoch == stage.epochs or stage.name == "em":
            found = f"  validation: {', '.join(shown)}" if shown else ""
            self.console.print(f"  {stage.name} {epoch}/{stage.epochs}  loss {losses:.3f}{found}", highlight=False)

    @contextmanager
    def _progress(self, stage: Stage, steps: int) -> Iterator[Callable[[Iterable[Any]], Iterator[Any]]]:
        try:
            with Track(self.console, stage, steps) as track:
                yield track
        except TrainingDiverged as error:
            where = f"{self.run.path}: stage {stage.name}, epoch {stage.epoch + 1}"
            raise TrainingDiverged(f"{where}: {error}") from error

    def _keep_progress(self, name: str, epoch: int) -> None:
        """Part maps of a few validation images by both models, for the strips that show EM's progress."""
        rows = self.val_feed.rows[:: max(1, len(self.val_feed.rows) // SHOWN)][:SHOWN]
        feed = self._feed(self.store, rows, SHOWN, 0)
        maps = {}
        for model in ("part", "posterior"):
            for _, log_y in self.predictions(model, feed.plain()):
                maps[model] = self.networks.y.mode(log_y).to(torch.uint8).cpu().numpy()
        path = self.run.path / "progress" / f"{name}-{epoch:04d}.npz"
        write(path, lambda file: np.savez_compressed(file, rows=rows, part=maps["part"], posterior=maps["posterior"]))
