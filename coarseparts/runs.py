"""The run folder: what a run writes, atomically, and how it goes on after it was stopped.

RUN/config.yaml, schema.json, metrics.csv, stages/<stage>/{state.pt, best.safetensors}, tensorboard/, model/,
results.csv, report.html. A stage's state is written once an epoch, whole or not at all, so a killed run loses at most
the epoch it was in. Nothing that is read back can run code.
"""

from __future__ import annotations

import csv
import errno
import io
import math
import os
import platform
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from safetensors.torch import load_file, save
from torch import Tensor, nn

from coarseparts.system import parallel
from coarseparts.system.device import give_back_memory
from coarseparts.system.errors import RunError
from coarseparts.system.files import write_whole

try:
    import fcntl
except ImportError:  # Windows: two trainings in one folder are not kept apart there
    fcntl = None  # type: ignore[assignment]


def write(path: Path, data: bytes | str | Callable[[io.BufferedWriter], None]) -> None:
    """Writes a file whole or not at all: beside its place first, then moved there.

    Of several processes that train together the first one writes, the others go on. Raises RunError naming the file and
    the remedy when the disk is full, the folder read-only, or what is there no file (``files.write_whole``).
    """
    if not parallel.is_main():
        return
    try:
        write_whole(path, data.encode() if isinstance(data, str) else data, sync=True)
    except (OSError, RuntimeError) as error:
        if isinstance(error.__context__, KeyboardInterrupt):  # torch.save hides it behind an error of its own
            raise KeyboardInterrupt from error
        raise explained(path, error) from error


@contextmanager
def claimed(path: Path) -> Iterator[None]:
    """A folder for a run, or for the runs of several seeds, that nobody else writes into meanwhile.

    Raises RunError when it holds other things than runs, another process is training in it, or it cannot be made.
    """
    if not parallel.is_main():
        yield
        return
    found = [p.name for p in path.iterdir() if not p.name.startswith(".")] if path.is_dir() else []
    known = (path / "config.yaml").is_file() or any(path.glob("seed*/config.yaml"))
    if set(found) - {"store"} and not known and not all(name.startswith("seed") for name in found):
        raise RunError(f"{path}: is not empty and holds no run; take another --out")
    with _locked(path, wait=False):
        yield


@contextmanager
def shared(path: Path) -> Iterator[None]:
    """A benchmark's folder, which several processes enter in turn. Raises RunError when it holds other things."""
    own = re.compile(
        r"\d+-.+|seed\d+|data|benchmark\.yaml|results\.csv|margins\.csv|by_part\.csv|table\.md|report\.html|\..*"
    )
    strange = [p.name for p in path.iterdir() if not own.fullmatch(p.name)] if path.is_dir() else []
    if strange:
        raise RunError(f"{path}: holds {strange[0]}, which is no part of a benchmark; take another --out")
    with _locked(path, wait=True):
        yield


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """A folder that no other process writes into meanwhile; RunError where one does, or where it cannot be made."""
    with _locked(path, wait=False):
        yield


@contextmanager
def _locked(path: Path, wait: bool) -> Iterator[None]:
    """A folder, made if need be, that this process alone writes into; taken by another: waits, or RunError."""
    if path.is_file():
        raise RunError(f"{path}: is a file; name a folder, or one that is to be made, with --out")
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = open(path / ".lock", "w")
    except OSError as error:
        raise explained(path, error) from error
    with lock:
        if fcntl is not None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise RunError(f"{path}: another process is at work here; wait for it, or take another --out") from None
        yield


def read_config(path: Path) -> dict[str, Any]:
    """What a run's config.yaml says. Raises RunError naming the file when it cannot be read."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
        error: object = "it is no mapping"
    except (OSError, ValueError, yaml.YAMLError) as problem:
        error = problem
    raise RunError(f"{path}: cannot be read ({error}); take another --out, or delete the folder")


def same_as_before(file: Path, said: Mapping[str, Any], what: str, begun: bool = True) -> None:
    """Writes down in ``file`` what all results of ``what`` (a benchmark, a sweep) have in common, or compares.

    The same data in another place (equal ``data_hash``) is no difference, and where nothing is ``begun`` what is said
    now counts. Raises RunError naming all others: kept
    results would stand for what they are not.
    """
    now = yaml.safe_load(yaml.safe_dump(dict(said)))
    there = read_config(file) if file.is_file() else {}
    changed = sorted(key for key in {*there, *now} if there.get(key) != now.get(key)) if there else []
    if begun and not set(changed) <= ({"data"} if there.get("data_hash") else set()):
        told = "; ".join(f"{key}: {there.get(key)!r} there, {now.get(key)!r} now" for key in changed)
        raise RunError(f"{file.parent}: holds a {what} with other settings ({told}); take another --out")
    if changed or not there:
        write(file, yaml.safe_dump(now, sort_keys=False, allow_unicode=True))


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"settings.em.alpha": 0.1, ...} of nested mappings."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= _leaves(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def explained(path: Path, error: BaseException) -> RunError:
    """What to say and do when ``path`` could not be written."""
    code = getattr(error, "errno", None)
    text = str(error)
    if code == errno.ENOSPC or "No space left" in text or "file write failed" in text or "unexpected pos" in text:
        return RunError(f"{path}: the disk is full; free some space and run the same command again, it goes on")
    if code in (errno.EACCES, errno.EROFS, errno.EPERM):
        return RunError(f"{path}: cannot be written (read-only); choose a folder of your own with --out")
    said = getattr(error, "strerror", None) or error
    return RunError(f"{path}: cannot be written ({said}); choose another place for it")


class Stage:
    """One stage of a run: some modules, their optimizers, the epochs done and the best one so far.

    ``modules`` are saved by name; ``kept`` names those whose best epoch is kept (by the highest score).
    """

    def __init__(
        self,
        folder: Path,
        modules: Mapping[str, nn.Module],
        optimizers: Iterable[torch.optim.Optimizer],
        epochs: int,
    ):
        self.folder, self.name, self.epochs = folder, folder.name, epochs
        self.modules, self.optimizers = dict(modules), list(optimizers)
        self.epoch, self.best_epoch, self.best_score, self.seconds = 0, 0, -math.inf, 0.0
        self.history: list[tuple[int, str, float]] = []
        self._since = time.monotonic()
        parallel.wait()
        if (folder / "state.pt").is_file():
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
            write(self.folder / "best.safetensors", save(tensors))
        state = {
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
            tensors = load_file(path)
            for name, module in self.modules.items():
                own: dict[str, Tensor] = {
                    k.removeprefix(f"{name}/"): v for k, v in tensors.items() if k.startswith(f"{name}/")
                }
                module.load_state_dict(own)
        except Exception as error:
            raise RunError(
                f"{path}: cannot be read ({error}); delete {self.folder} to train this stage anew"
            ) from error

    def _restore(self) -> None:
        path = self.folder / "state.pt"
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            for name, module in self.modules.items():
                module.load_state_dict(state["modules"][name])
            for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
        except Exception as error:
            raise RunError(
                f"{path}: cannot be read ({error}); delete {self.folder} to train this stage anew"
            ) from error
        self.epoch, (self.best_epoch, self.best_score) = state["epoch"], state["best"]
        self.seconds, self.history = state["seconds"], [tuple(row) for row in state["history"]]


class RunFolder:
    """A folder that belongs to one run. Raises RunError when it holds a run with another configuration."""

    def __init__(self, path: Path, config: Mapping[str, Any], schema_json: str):
        self.path = path
        self.stages: dict[str, Stage] = {}
        self._tensorboard: Any = None
        with parallel.main_first():
            self._open(path, config, schema_json)

    @staticmethod
    def _open(path: Path, config: Mapping[str, Any], schema_json: str) -> None:
        file = path / "config.yaml"
        text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
        if file.is_file():
            there, now = _leaves(read_config(file)), _leaves(yaml.safe_load(text))
            changed = sorted(k for k in {*there, *now} if there.get(k) != now.get(k))
            if changed == ["data"] and there.get("data_hash"):
                write(file, text)  # the same data in another place
            elif changed and not any(path.glob("stages/*/state.pt")):
                write(file, text)  # nothing was trained: the command has been corrected
                write(path / "schema.json", schema_json)
            elif changed:
                what = "; ".join(f"{k}: {there.get(k)!r} there, {now.get(k)!r} now" for k in changed)
                if "data_hash" in changed:
                    what += "; the data hash changes with any image, label, part name or crop, not with their place"
                raise RunError(
                    f"{path}: holds a run with other settings ({what}); take another --out, or delete the folder"
                )
        else:
            if path.is_dir() and any(p for p in path.iterdir() if not p.name.startswith(".")):
                if (path / "stages").exists() or not (path / "store").exists():
                    raise RunError(f"{path}: is not empty and holds no run; take another --out")
            write(file, text)
            write(path / "schema.json", schema_json)

    def stage(
        self,
        name: str,
        modules: Mapping[str, nn.Module],
        optimizers: Iterable[torch.optim.Optimizer],
        epochs: int,
    ) -> Stage:
        """A stage of this run, restored if it was begun before."""
        self.stages[name] = Stage(self.path / "stages" / name, modules, optimizers, epochs)
        return self.stages[name]

    def log(self, stage: Stage) -> None:
        """Writes metrics.csv anew from all stages, and the stage's last epoch to TensorBoard."""
        if not parallel.is_main():
            return
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["stage", "epoch", "name", "value"])
        for name, each in self.stages.items():
            table.writerows([name, epoch, key, f"{value:.6g}"] for epoch, key, value in each.history)
        write(self.path / "metrics.csv", text.getvalue())
        if self._tensorboard is None:
            from torch.utils.tensorboard import SummaryWriter  # here, for it takes a second to import

            self._tensorboard = SummaryWriter(str(self.path / "tensorboard"))
        for epoch, key, value in stage.history:
            if epoch == stage.epoch:
                self._tensorboard.add_scalar(f"{stage.name}/{key}", value, epoch)
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
