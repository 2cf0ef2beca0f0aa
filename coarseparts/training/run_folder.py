"""The run folder: what a run writes, atomically, and how it goes on after it was stopped.

RUN/config.yaml, schema.json, metrics.csv, stages/<stage>/{state.pt, best.safetensors}, tensorboard/, model/,
results.csv, report.html. A stage's state is written once an epoch, whole or not at all, so a killed run loses at most
the epoch it was in. Nothing that is read back can run code.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from safetensors.torch import load, save
from torch import Tensor, nn

from coarseparts.system import limits, parallel
from coarseparts.system.documents import dump_yaml
from coarseparts.system.errors import DamagedRun, RunError
from coarseparts.system.memory import give_back_memory
from coarseparts.system.text import csv_cell, readable, short
from coarseparts.training.claims import differences, explained, write

CHECKPOINT = 2
"""Version of state.pt; those without a number are of the first."""


class Stage:
    """One stage of a run: some modules, their optimizers, the epochs done and the best one so far.

    ``modules`` are saved by name and their best epoch is kept (by the highest score). ``run`` names the run that the
    stage belongs to: what is found in ``folder`` must be of the same, whole, and of finite numbers, or DamagedRun is
    raised, and no module has changed.
    """

    def __init__(
        self,
        folder: Path,
        modules: Mapping[str, nn.Module],
        optimizers: Iterable[torch.optim.Optimizer],
        epochs: int,
        run: str = "",
    ):
        self.folder, self.name, self.epochs, self.run = folder, folder.name, epochs, run
        self.modules, self.optimizers = dict(modules), list(optimizers)
        self.epoch, self.best_epoch, self.best_score, self.seconds = 0, 0, -math.inf, 0.0
        self.history: list[tuple[int, str, float]] = []
        self._since = time.monotonic()
        parallel.wait()
        if (folder / "state.pt").exists():
            self._restore()
        parallel.wait()  # nobody writes the first epoch before all have looked

    @property
    def finished(self) -> bool:
        """Whether all epochs are done."""
        return self.epoch >= self.epochs

    def close_epoch(self, epoch: int, score: float, values: Mapping[str, float]) -> None:
        """Records ``values`` of an epoch (from 1), keeps the modules if ``score`` is the best yet, saves all."""
        now = time.monotonic()
        self.seconds, self._since = self.seconds + now - self._since, now
        self.epoch = epoch
        self.history += [(epoch, name, float(value)) for name, value in values.items()]
        if score > self.best_score or not self.best_epoch:
            self.best_score, self.best_epoch = score, epoch
            tensors = {
                f"{name}/{key}": value.detach().cpu().contiguous()
                for name, module in self.modules.items()
                for key, value in module.state_dict().items()
            }
            # A kill between the two writes repeats this epoch and writes the same best file again.
            write(self.folder / "best.safetensors", tensor_file(tensors, {"run": self.run, "epoch": str(epoch)}))
        state = {
            "version": CHECKPOINT,
            "run": self.run,
            "modules": {name: module.state_dict() for name, module in self.modules.items()},
            "optimizers": [o.state_dict() for o in self.optimizers],
            "epoch": epoch,
            "best": (self.best_epoch, self.best_score),
            "seconds": self.seconds,
            "history": self.history,
        }
        write(self.folder / "state.pt", lambda file: torch.save(state, file))

    def load_best(self) -> None:
        """Puts the best epoch's weights into the modules."""
        parallel.wait()  # until the first process has written it
        path = self.folder / "best.safetensors"
        try:
            tensors, said = read_tensors(path)
            if said.get("run", self.run) != self.run:
                raise ValueError("it is of another run")
            if int(said.get("epoch", self.best_epoch)) < self.best_epoch:
                raise ValueError(f"it is of epoch {said['epoch']}, the best one is {self.best_epoch}")
            load_all(
                self.modules,
                {
                    name: {k.removeprefix(f"{name}/"): v for k, v in tensors.items() if k.startswith(f"{name}/")}
                    for name in self.modules
                },
            )
        except Exception as error:
            raise self._damaged(path, error) from error

    def _damaged(self, path: Path, error: Exception) -> Exception:
        if limits.is_machines(error):
            return error
        said = " ".join(str(error).split())[:300] or type(error).__name__
        return DamagedRun(f"{path}: cannot be read ({said}); delete {self.folder} to train this stage anew")

    def _restore(self) -> None:
        path = self.folder / "state.pt"
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            epoch, best, seconds, history = self._told(state)
            for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
                check_optimizer(optimizer, saved)
            load_all(self.modules, state["modules"])
            for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
        except Exception as error:
            raise self._damaged(path, error) from error
        self.epoch, (self.best_epoch, self.best_score) = epoch, best
        self.seconds, self.history = seconds, history

    def _told(self, state: Any) -> tuple[int, tuple[int, float], float, list[tuple[int, str, float]]]:
        """Epoch, (best epoch, its score), seconds and history of a state, if they make sense. Raises ValueError."""
        if not isinstance(state, dict):
            raise ValueError(f"it holds a {type(state).__name__}, expected a checkpoint")
        if state.get("version", 1) not in (1, CHECKPOINT):
            raise ValueError(f"it is of version {short(state['version'])}, expected {CHECKPOINT}")
        if state.get("run", self.run) != self.run:
            raise ValueError("it is of another run")
        epoch, (best, score), seconds = state["epoch"], state["best"], state["seconds"]
        whole = all(type(number) is int for number in (epoch, best))
        if not whole or not 0 < best <= epoch <= self.epochs:
            raise ValueError(f"it says epoch {short(epoch)} of {self.epochs}, the best one {short(best)}")
        if not isinstance(score, int | float) or math.isnan(score) or not 0 <= float(seconds) < math.inf:
            raise ValueError(f"it says score {short(score)} after {short(seconds)} seconds")
        history = [(int(e), str(name), float(value)) for e, name, value in state["history"]]
        if any(not 0 <= e <= epoch for e, _, _ in history):
            raise ValueError("its history has epochs that were not trained")
        return epoch, (best, float(score)), float(seconds), history


MOST_WEIGHTS = 2**33
"""Bytes of a file of weights; a file without content can say that it has any number."""


def tensor_file(tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> bytes:
    """A safetensors file of tensors on the CPU, with what is said about them and a digest that ``read_tensors`` checks:
    a weight that changed on a disk is a number like any other."""
    return save(dict(tensors), {**about, "sha256": digest_of(tensors)})


def digest_of(tensors: Mapping[str, Tensor]) -> str:
    """A digest of tensors on the CPU by name, of names and content, in whatever order they stand."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors file and what it says about them. Raises ValueError where they are no finite
    numbers or not those of its digest (earlier versions wrote none), and whatever safetensors raises for a damaged
    file."""
    if (size := path.stat().st_size) > MOST_WEIGHTS:
        raise ValueError(f"it has {size:,} bytes, expected at most {MOST_WEIGHTS:,}")
    content = path.read_bytes()  # safetensors opens no file whose name is not UTF-8
    tensors = load(content)
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    odd = [name for name, t in tensors.items() if t.is_floating_point() and not torch.isfinite(t).all()]
    if odd:
        raise ValueError(f"{short(odd[0])} holds numbers that are not finite")
    about = header.get("__metadata__", {})
    if about.get("sha256", digest := digest_of(tensors)) != digest:
        raise ValueError("its weights are not those that were written")
    return tensors, about


def load_all(modules: Mapping[str, nn.Module], weights: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Puts weights into modules, all of them or none: raises as ``fits`` does before anything is changed."""
    fits(modules, weights)
    for name, module in modules.items():
        module.load_state_dict(dict(weights[name]))


def fits(modules: Mapping[str, nn.Module], weights: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Raises ValueError where a name of a module's weights is missing or strange, a shape differs or a number is not
    finite."""
    for name, module in modules.items():
        own, new = module.state_dict(), weights[name]
        if own.keys() != new.keys():
            strange = sorted(own.keys() ^ new.keys())
            raise ValueError(f"{name} and its weights differ in {len(strange)} names, {short(strange[0])} among them")
        for key, value in own.items():
            if not isinstance(new[key], Tensor) or new[key].shape != value.shape:
                came = tuple(new[key].shape) if isinstance(new[key], Tensor) else type(new[key]).__name__
                raise ValueError(f"{name}/{key} has shape {came}, expected {tuple(value.shape)}")
            if new[key].dtype != value.dtype:
                raise ValueError(f"{name}/{key} holds {new[key].dtype}, expected {value.dtype}")
            if new[key].is_floating_point() and not torch.isfinite(new[key]).all():
                raise ValueError(f"{name}/{key} holds numbers that are not finite")


def check_optimizer(optimizer: torch.optim.Optimizer, saved: Mapping[str, Any]) -> None:
    """Raises ValueError where a saved state would not fit: torch takes over whatever there is and fails a step later,
    or not at all."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for own, group in zip(optimizer.param_groups, saved["param_groups"], strict=True):
        for key, value in own.items():
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if is_number and not math.isfinite(float(group[key])):
                raise ValueError(f"the optimizer's {key} is {short(group[key])}, expected such as {short(value)}")
    for index, moments in saved["state"].items():
        for key, value in moments.items():
            if isinstance(value, Tensor) and value.dim() and value.shape != parameters[index].shape:
                raise ValueError(f"the optimizer's {key} has shape {tuple(value.shape)} at parameter {index}")
            if isinstance(value, Tensor) and value.is_floating_point() and not torch.isfinite(value).all():
                raise ValueError(f"the optimizer's {key} holds numbers that are not finite")


class RunFolder:
    """A folder that belongs to one run. Raises RunError when it holds a run with another configuration."""

    def __init__(self, path: Path, config: Mapping[str, Any], schema_json: str):
        self.path = path
        told = {key: value for key, value in config.items() if key != "data"}  # which may move to another place
        self.identity = hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:24]
        self.stages: dict[str, Stage] = {}
        self._tensorboard: Any = None
        with parallel.main_first():
            self._open(path, config, schema_json)

    @staticmethod
    def _open(path: Path, config: Mapping[str, Any], schema_json: str) -> None:
        file = path / "config.yaml"
        text = dump_yaml(dict(config))
        if os.path.lexists(file):
            there, changed = differences(file, text)
            begun = any(path.glob("stages/*/state.pt"))
            if begun and changed and not (set(changed) == {"data"} and there.get("data_hash")):
                what = "; ".join(f"{k}: {short(was)} there, {short(now)} now" for k, (was, now) in changed.items())
                if "data_hash" in changed:
                    what += "; the data hash changes with any image, label, part name or crop, not with their place"
                said = f"holds a run with other settings ({what}), as {file.name} says"
                raise RunError(f"{path}: {said}; take another --out, or delete the folder")
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
        self.stages[name] = Stage(self.path / "stages" / name, modules, optimizers, epochs, self.identity)
        return self.stages[name]

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
            from torch.utils.tensorboard import SummaryWriter  # here, for it takes a second to import

            self._tensorboard = SummaryWriter(folder)
        for epoch, key, value in stage.history:
            if epoch == stage.epoch:
                self._tensorboard.add_scalar(readable(f"{stage.name}/{key}"), value, epoch)
        self._tensorboard.flush()


class Track:
    """A progress bar over a stage's steps with the time left; silent where there is no terminal."""

    def __init__(self, console: Console, stage: Stage, steps: int):
        self.stage, self.steps = stage, steps
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal or stage.finished,
            transient=True,
        )
        self.task = self.bar.add_task(stage.name, total=stage.epochs * steps, completed=stage.epoch * steps)

    def __enter__(self) -> Callable[[Iterable[Any]], Iterator[Any]]:
        self.bar.start()
        return self._over

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def _over(self, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            yield item
            self.bar.advance(self.task)


def machine() -> str:
    """The machine that a number was measured on: processor kind, cores, torch, GPU if any."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{platform.machine()}, {os.cpu_count()} cores, {gpu}, torch {torch.__version__}"


class PeakMemory:
    """``with PeakMemory(device) as peak: ...; peak.mib``: most memory that was held meanwhile, MiB.

    Of the GPU where ``device`` is one, else of the whole process, other data included; nan where the system does not
    let the highest mark be set back (only Linux does).
    """

    def __init__(self, device: str = "cpu"):
        self.device, self.mib, self._known = device, math.nan, False

    def __enter__(self) -> PeakMemory:
        if self.device.startswith("cuda"):
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            give_back_memory()
            with suppress(OSError):
                Path("/proc/self/clear_refs").write_text("5")
                self._known = True
        return self

    def __exit__(self, *_: object) -> None:
        if self.device.startswith("cuda"):
            self.mib = torch.cuda.max_memory_allocated(self.device) / 2**20
        elif self._known:
            with suppress(OSError):
                lines = Path("/proc/self/status").read_text().splitlines()
                self.mib = next((int(w.split()[1]) / 1024 for w in lines if w.startswith("VmHWM:")), math.nan)
