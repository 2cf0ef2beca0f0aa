"""The run folder: what a run writes, atomically, and how it goes on after it was stopped.

RUN/config.yaml, schema.json, metrics.csv, stages/<stage>/{state.pt, best.safetensors}, progress/, tensorboard/, model/,
results.csv, report.html. A stage's state is written once an epoch, whole or not at all, so a killed run loses at most
the epoch it was in.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import nn

from coarseparts.system import parallel
from coarseparts.system.device import finite
from coarseparts.system.documents import dump_yaml
from coarseparts.system.errors import RunError
from coarseparts.system.text import csv_cell, readable, short
from coarseparts.training.checkpoints import Stage
from coarseparts.training.claims import differences, explained, write
from coarseparts.training.task import Task
from coarseparts.updates import Epochs, TrainingDiverged

Data = TypeVar("Data")
Judge = Callable[[int, dict[str, float]], tuple[float, dict[str, float]]]
"""An epoch's number, from 1, and the means of its loss's terms -> its score, by which the best epoch is kept, and what
is logged of it."""


class RunFolder:
    """A folder that belongs to one run, and the ``console`` that hears of its epochs (by default nobody does).

    Raises RunError when it holds a run with another configuration.
    """

    def __init__(
        self,
        path: Path,
        config: Mapping[str, Any],
        schema_json: str,
        console: Console | None = None,
        patience: float = 0.0,
        decay: float = 0.0,
    ):
        self.path, self.console = path, console or Console(quiet=True)
        self.patience, self.decay = patience, decay
        lasting = {key: value for key, value in config.items() if key != "data"}  # which may move to another place
        self.identity = hashlib.sha256(json.dumps(lasting, sort_keys=True, default=str).encode()).hexdigest()[:24]
        self.stages: dict[str, Stage] = {}
        self._tensorboard: Any = None
        self._told = False
        with parallel.main_first():
            self._open(path, config, schema_json)

    @classmethod
    def of(cls, path: Path, task: Task, console: Console | None = None, **config: str) -> RunFolder:
        """The folder of a task's run; ``config`` stands in its config.yaml, too."""
        content = {
            "coarseparts": 1,
            "seed": task.seed,
            "styles": task.styles,
            "images": {role: len(getattr(task.rows, role)) for role in ("part", "coarse", "val")},
            "size": task.size,
            "data_hash": task.full.key,
            "settings": task.settings.model_dump(mode="json"),
            **({} if task.labels_each is None else {"labels_each": task.labels_each}),
            **config,
        }
        schema = json.dumps(task.schema.model_dump(mode="json"), indent=1)
        return cls(path, content, schema, console, task.settings.patience, task.settings.rate_decay)

    @staticmethod
    def _open(path: Path, config: Mapping[str, Any], schema_json: str) -> None:
        file = path / "config.yaml"
        text = dump_yaml(dict(config))
        if os.path.lexists(file):
            stored, changed = differences(file, text)
            begun = any(path.glob("stages/*/state.pt"))
            if begun and changed and not (set(changed) == {"data"} and stored.get("data_hash")):
                what = "; ".join(f"{k}: {short(was)} there, {short(now)} now" for k, (was, now) in changed.items())
                if "data_hash" in changed:
                    what += "; the data hash changes with any image, label, part name or crop, not with their place"
                message = f"holds a run with other settings ({what}), as {file.name} says"
                raise RunError(f"{path}: {message}; take another --out, or delete the folder")
            if changed:  # the same data in another place; or nothing was trained, and the command has been corrected
                write(file, text)
        else:
            if path.is_dir() and any(p for p in path.iterdir() if not p.name.startswith(".")):
                if (path / "stages").exists() or not (path / "store").exists():
                    raise RunError(f"{path}: is not empty and holds no run; take another --out")
            write(file, text)
        schema = path / "schema.json"
        if not schema.is_file() or schema.read_bytes() != schema_json.encode():
            write(schema, schema_json)

    def stage(
        self,
        name: str,
        modules: Mapping[str, nn.Module],
        optimizers: Iterable[torch.optim.Optimizer],
        epochs: int,
    ) -> Stage:
        """A stage of this run, restored if it was begun before."""
        folder = self.path / "stages" / name
        until = 1 - min(self.decay or 0.5, 0.5)  # no rate has fallen before
        self.stages[name] = Stage(folder, modules, optimizers, epochs, self.identity, self.patience, until)
        return self.stages[name]

    @contextmanager
    def epochs(
        self,
        stage: Stage,
        batches: Callable[[int], Iterable[Data]],
        steps: int,
        judge: Judge,
        seed: int,
        on_step: Callable[[], None] = lambda: None,
    ) -> Iterator[Epochs[Data]]:
        """What is left of a stage, to be trained inside: each epoch is judged, saved and told, its steps are shown.

        Raises TrainingDiverged, naming the folder, the stage and the epoch, where one is raised inside or weights are
        not finite; and ends with the stage's best epoch in its modules.
        """

        def end(epoch: int, terms: dict[str, float]) -> None:
            for module in stage.modules.values():  # before several processes measure
                parallel.same_buffers(module)
            score, values = judge(epoch, parallel.means(terms))
            wrong = [name for name, module in stage.modules.items() if not finite(module)]
            if wrong:
                raise TrainingDiverged(f"the weights of {', '.join(wrong)} are not finite; lower the learning rate")
            stage.close_epoch(epoch, score, values)
            self.log(stage)
            self._print(stage, values)

        try:
            with _tracked(self.console, stage, steps) as track:
                yield Epochs(
                    lambda epoch: track(batches(epoch)),
                    stage.epochs,
                    steps,
                    end,
                    seed,
                    stage.epoch,
                    on_step,
                    lambda: stage.finished,
                    self.decay,
                )
        except TrainingDiverged as error:
            raise TrainingDiverged(f"{self.path}: stage {stage.name}, epoch {stage.epoch + 1}: {error}") from error
        stage.load_best()

    def keep_maps(self, stage: str, epoch: int, **arrays: np.ndarray) -> None:
        """Keeps some images' part maps of an epoch, for the report's strips."""
        path = self.path / "progress" / f"{stage}-{epoch:04d}.npz"
        write(path, lambda file: np.savez_compressed(file, **arrays))  # type: ignore[arg-type]

    def seconds(self, *stages: str) -> float:
        """How long some stages of this run have trained."""
        return round(sum(self.stages[name].seconds for name in stages if name in self.stages), 1)

    def _print(self, stage: Stage, values: Mapping[str, float]) -> None:
        if stage.epoch % max(1, stage.epochs // 10) and not stage.finished and stage.name != "em":
            return
        measures = [_in_words(k.removeprefix("val/"), v) for k, v in values.items() if k.startswith("val/")]
        others = ("val/", "scale/", "weight/", "l/", *(("m/",) if any(k.startswith("e/") for k in values) else ()))
        loss = sum(v for k, v in values.items() if not k.startswith(others))
        validation = f"  validation: {', '.join(measures)}" if measures else ""
        line = f"  {stage.name} {stage.epoch}/{stage.epochs}  loss {loss:.3f}{validation}"
        self.console.print(line, highlight=False)
        if stage.finished and stage.epoch < stage.epochs:
            none = stage.epoch - stage.best_epoch
            ends = f"  {stage.name}: ends here, for {none} epochs brought nothing better than epoch {stage.best_epoch}"
            self.console.print(ends, highlight=False)

    def log(self, stage: Stage) -> None:
        """Writes metrics.csv anew from all stages, and the stage's last epoch to TensorBoard."""
        if not parallel.is_main():
            return
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["stage", "epoch", "name", "value"])
        for name, each in self.stages.items():
            table.writerows([name, epoch, csv_cell(key), f"{value:.6g}"] for epoch, key, value in each.history)
        write(self.path / "metrics.csv", text.getvalue())
        try:
            self._to_tensorboard(stage)
        except OSError as error:
            raise explained(self.path / "tensorboard", error) from error

    def _to_tensorboard(self, stage: Stage) -> None:
        folder = str(self.path / "tensorboard")
        if not folder.isprintable():  # its writer takes names in UTF-8 only
            return
        if self._tensorboard is None:
            try:
                from torch.utils.tensorboard import SummaryWriter  # here, for it takes a second to import
            except ImportError:
                return self._without_tensorboard()
            self._tensorboard = SummaryWriter(folder)
        for epoch, key, value in stage.history:
            if epoch == stage.epoch:
                self._tensorboard.add_scalar(readable(f"{stage.name}/{key}"), value, epoch)
        self._tensorboard.flush()

    def _without_tensorboard(self) -> None:
        if not self._told:
            self._told = True
            remedy = "pip install 'coarseparts[tensorboard]'"
            text = f"curves: metrics.csv, and the report; for TensorBoard: {remedy}"
            self.console.print(text, markup=False, highlight=False)


@contextmanager
def _tracked(console: Console, stage: Stage, steps: int) -> Iterator[Callable[[Iterable[Any]], Iterator[Any]]]:
    """Inside, a progress bar over a stage's steps with the time left; silent where there is no terminal."""
    columns = BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()
    silent = not console.is_terminal or stage.finished
    with Progress("{task.description}", *columns, console=console, disable=silent, transient=True) as bar:
        task = bar.add_task(stage.name, total=stage.epochs * steps, completed=stage.epoch * steps)

        def over(items: Iterable[Any]) -> Iterator[Any]:
            for item in items:
                yield item
                bar.advance(task)

        yield over


def _in_words(measure: str, value: float) -> str:
    """A validation measure for the log: "part model 61.2 %", "keypoints 1.75"."""
    model, is_iou, _ = measure.partition("_part_miou")
    return f"{'part model' if model == 'part' else model} {value:.2f}{' %' if is_iou else ''}"
