"""The trainings whose curves ``curves.py`` draws, the most telling first: lines of its files are named after them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

TEACH = ("better", "all")
DECODERS = ("stride2", "stride1")
STUDENTS = ("em", "fine-tuning")


@dataclass(frozen=True)
class Cell:
    """One training: ``times`` the epochs of ``method`` that are usual from weights, on ``data`` ("birds", "cars-like",
    "aircraft", "ants"), with ``each`` of its labels on every coarse image, and so many ``bare`` ones more (birds);
    ``changes``: of settings; ``weights``: the name of a file."""

    data: str
    method: str
    times: int = 1
    each: int | None = None
    seed: int = 10
    weights: str = ""
    size: int = 0
    bare: int = 0
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        each = {None: "all", 1: "one"}[self.each]
        extra = "".join(f" {key}={value}" for key, value in self.changes.items())
        named = f" {self.weights.split('.')[0]}" if self.weights else ""
        named += f" {self.bare} without labels" if self.bare else ""
        return f"{self.data}{self.size or ''} {each} {self.method} {self.times}x seed{self.seed}{named}{extra}"

    @property
    def cost(self) -> float:
        own = {"em": 1.0, "distillation": 0.7, "fine-tuning": 0.45, "frozen-probe": 0.3, "upper-bound": 0.45}
        pixels = (self.size / 128) ** 2 if self.size else self.changes.get("zoom", 1) ** 2
        return own.get(self.method, 1.0) * self.times * max(1.0, pixels)


def cells() -> list[Cell]:
    """All that is measured, the most telling first."""
    r18, lite2 = "resnet18_trunk.safetensors", "tf_efficientnet_lite2_fp16.safetensors"
    ants = [
        *(Cell("ants", "em", 3, each, 0, r18) for each in (1, None)),
        Cell("ants", "em", 3, 1, 0, r18, changes={"em.views": 0.5}),
        *(Cell("ants", "distillation", 3, each, 0, r18) for each in (1, None)),
        Cell("ants", "fine-tuning", 3, None, 0, r18),
        Cell("ants", "em", 1, None, 0, r18, changes={"zoom": 2}),
        Cell("ants", "em", 1, None, 0, lite2),
        *(Cell("ants", "em", 1, each, 0, r18) for each in (1, None)),
        Cell("ants", "fine-tuning", 1, None, 0, r18),
        *(Cell("ants", "frozen-probe", 1, None, 0, weights) for weights in (r18, lite2)),
    ]
    longer = [Cell("birds", method, 3, 1) for method in ("em", "distillation", "upper-bound", "fine-tuning")]
    cars = [Cell("cars-like", method, 1, None, seed) for seed in (10, 11) for method in ("em", "distillation")]
    teachers = [
        Cell("birds", "em", 1, 1, changes={"match_labels": matched} | sharper)
        for sharper in ({}, {"em.sharpness": 0.6})
        for matched in (True, False)
    ]
    teachers += [Cell("ants", "em", 1, 1, 0, r18, 64, changes={"em.teach": teach}) for teach in TEACH]
    teachers += [
        Cell("birds", "em", 1, 1, seed, changes={"em.teach": teach}) for seed in (10, 11, 12) for teach in TEACH
    ]
    itself = {"em.consistency": 1.0, "em.label_dropout": 0.5}  # the others are of before there was that
    teachers += [Cell("ants", "em", 1, 1, 0, r18, 64, changes=itself), Cell("birds", "em", 1, 1, 12, changes=itself)]
    teachers += [Cell("birds", "em", 3, 1, changes=itself)]
    for decay in (0.0, 0.5):
        up = {"rate_decay": decay}
        teachers += [Cell("birds", "upper-bound", 1, None, 9, changes=up)]
        teachers += [Cell("birds", "em", 1, 1, 9, changes=itself | up)]
    teachers += [Cell("birds", "upper-bound", 1, None, 9, changes={"rate_decay": 0.25})]
    teachers += [Cell("ants", "em", 1, 1, 0, r18, 64, changes=itself | {"rate_decay": 0.5})]
    small = {"rate_decay": 0.5, "part_batch": 8, "batch": 8, "em_epoch_steps": 125, "epoch_steps": 16}
    teachers += [Cell("birds", "upper-bound", 1, None, 9, changes=small)]
    teachers += [Cell("birds", "fine-tuning", 1, 1, 9, changes=own) for own in ({"rate_decay": 0.5}, small)]
    fewer = {"batch": 8, "labelled_batch": 4, "em_epoch_steps": 125}
    teachers += [Cell("birds", "em", 1, 1, 9, changes={"rate_decay": 0.5} | itself | fewer)]
    now = itself | {"rate_decay": 0.5}
    steps = now | {"em.refine": 20, "em.refine_rate": 0.1}
    remarks = [Cell("birds", "em", 1, 1, 9, changes=own) for own in (steps, steps | {"em.langevin": True})]
    remarks += [Cell("birds", "em", 1, 1, 9, changes=now | {"posteriors": "inferred"})]
    same = {400: 9, 4000: 3}  # epochs, of so many more images: about the same number of steps
    remarks += [Cell("birds", "em", 1, 1, 9, bare=k, changes=now | {"em_epochs": n}) for k, n in same.items()]
    eight = {"rate_decay": 0.5, "part_batch": 8, "batch": 8, "labelled_batch": 4}
    eight |= {"em_epoch_steps": 128, "epoch_steps": 16}
    decoders = [Cell("birds", "upper-bound", 1, None, 9, changes={"decoder": kind} | eight) for kind in DECODERS]
    finest = {"decoder": "stride1"} | eight | {"em.consistency": 1.0}
    decoders += [Cell("birds", "em", 1, 1, 9, changes=finest)]
    decoders += [Cell("ants", method, 1, 1, 0, r18, 64, changes=finest | {"stages": 3}) for method in STUDENTS]
    bound = [{f"em.{name}": weight for name in ("alpha", "gamma", "evidence")} for weight in (0.3, 1.0)]
    bound = [Cell("birds", "em", 1, 1, 9, changes=finest | own) for own in bound]
    whole = bound[1].changes
    bound += [Cell("birds", "em", 1, None, 9, changes=own) for own in (finest, whole)]
    bound += [Cell("ants", "em", 1, 1, 0, r18, 64, changes=whole | {"stages": 3})]
    bound += [Cell("aircraft", "em", 1, None, 9, changes=own) for own in (finest, whole)]
    bound += [Cell("aircraft", "distillation", 1, None, 9, changes=finest)]
    still = {"scale": (1, 1), "rotation": 0, "shear": 0, "translation": 0}
    still = {f"augmentation.{name}": value for name, value in still.items()}
    bound += [Cell("birds", "upper-bound", 1, None, 9, changes={"decoder": "stride1"} | eight | still)]
    newest = [finest | {"augmentation.ramp": ramp, "em.impute": impute} for impute in (0.0, 0.5) for ramp in (0, 20)]
    bound += [Cell("birds", "em", 1, 1, 9, changes=own) for own in newest]
    bound += [Cell("ants", "em", 1, 1, 0, r18, 64, changes=own | {"stages": 3}) for own in newest]
    bound += [
        Cell("cars-like", "upper-bound", 1, None, 10, changes=finest | {"augmentation.ramp": ramp}) for ramp in (0, 20)
    ]
    today, both = newest[-1], ("em", "distillation")
    once = ("upper-bound", "fine-tuning")
    longest = [Cell("birds", method, 3, each, 9, changes=today) for each in (1, None) for method in both]
    longest += [Cell("birds", method, 3, 1, 9, changes=today) for method in once]
    few = [today | {"augmentation.ramp": ramp} for ramp in (20, 60, 150)]
    longest += [Cell("birds", "fine-tuning", 1, 1, 9, changes=own) for own in few]
    longest += [Cell("ants", "fine-tuning", 1, 1, 0, r18, 64, changes=own | {"stages": 3}) for own in few]
    longest += [Cell("birds", "em", 1, 1, 9, changes=today | {"em.delta1": 0.3})]
    larger = {"stages": 3, "zoom": 1.5, "part_epochs": 15, "posterior_epochs": 15, "em_epochs": 5}
    longest += [Cell("ants", "em", 1, None, 0, r18, 128, changes=today | larger)]
    blanked = today | {"em.blank": 0.5}
    longest += [Cell("cars-like", method, 3, None, seed, changes=blanked) for seed in (10, 11) for method in both]
    longest += [Cell("aircraft", method, 3, None, seed, changes=blanked) for seed in (9, 10) for method in both]
    longest += [Cell("birds", "em", 3, 1, 9, changes=blanked)]
    longest += [Cell("ants", "em", 1, None, 0, r18, 64, changes=blanked | {"stages": 3})]
    rest = [*teachers, *remarks, *decoders, *bound, *longest]
    return [*ants[:2], longer[0], *ants[2:8], *longer[1:], *cars, *ants[8:], *rest]
