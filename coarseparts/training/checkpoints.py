"""A stage's checkpoint and the files of weights: written whole or not at all, and read back with suspicion.

Nothing that is read back can run code.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from coarseparts.system import limits, parallel
from coarseparts.system.errors import DamagedRun
from coarseparts.system.text import reason, short
from coarseparts.training.claims import write

CHECKPOINT = 2
"""Version of state.pt; those without a number are of the first."""


class Stage:
    """One stage of a run: some modules, their optimizers, the epochs done and the best one so far.

    ``modules`` are saved by name and their best epoch is kept (by the highest score); behind the share ``until`` of its
    epochs the stage ends where the share ``patience`` of them brought no better one (0: it does not). ``run`` names the
    run that the stage belongs to: what is found in ``folder`` must be of the same, whole, and of finite numbers, or
    DamagedRun is raised, and no module has changed.
    """

    def __init__(
        self,
        folder: Path,
        modules: Mapping[str, nn.Module],
        optimizers: Iterable[torch.optim.Optimizer],
        epochs: int,
        run: str = "",
        patience: float = 0.0,
        until: float = 0.5,
    ):
        self.folder, self.name, self.epochs, self.run = folder, folder.name, epochs, run
        self.patience, self.until = patience, until
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
        """Whether all epochs are done, or all that are worth it."""
        waited = self.epoch - max(self.best_epoch, int(self.epochs * self.until))
        return self.epoch >= self.epochs or 0 < self.patience * self.epochs <= waited

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
            tensors, about = read_tensors(path)
            if about.get("run", self.run) != self.run:
                raise ValueError("it is of another run")
            if int(about.get("epoch", self.best_epoch)) < self.best_epoch:
                raise ValueError(f"it is of epoch {about['epoch']}, the best one is {self.best_epoch}")
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
        return DamagedRun(f"{path}: cannot be read ({reason(error)}); delete {self.folder} to train this stage anew")

    def _restore(self) -> None:
        path = self.folder / "state.pt"
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            epoch, best, seconds, history = self._checked(state)
            for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
                check_optimizer(optimizer, saved)
            load_all(self.modules, state["modules"])
            for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
        except Exception as error:
            raise self._damaged(path, error) from error
        self.epoch, (self.best_epoch, self.best_score) = epoch, best
        self.seconds, self.history = seconds, history

    def _checked(self, state: Any) -> tuple[int, tuple[int, float], float, list[tuple[int, str, float]]]:
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
