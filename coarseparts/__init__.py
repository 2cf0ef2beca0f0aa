"""Segment the parts of objects from a few part masks and many coarse labels.

    run = coarseparts.train("ants.yaml", out="runs/ants")
    model = coarseparts.load("runs/ants")
    parts = model.predict("photo.jpg", keypoints={"head_front": (412, 233)})
    report = coarseparts.check("ants.yaml")
    result = coarseparts.evaluate("runs/ants", split="test")

Each name is imported when it is first asked for, so that ``import coarseparts`` costs nothing and changes nothing.
Whatever a user can mend is raised as a ``CoarsepartsError``, whose text says what to do; its kinds are in
``system.errors`` and, ``BadInput``, in ``system.problems``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coarseparts.data.check import CheckReport as CheckReport
    from coarseparts.data.check import check as check
    from coarseparts.experiments.train import Run as Run
    from coarseparts.experiments.train import train as train
    from coarseparts.inference.evaluate import Evaluation as Evaluation
    from coarseparts.inference.evaluate import evaluate as evaluate
    from coarseparts.inference.model import Model as Model
    from coarseparts.inference.model import load as load
    from coarseparts.inference.parts import Parts as Parts
    from coarseparts.measurement.folder import measure as measure
    from coarseparts.system.errors import CoarsepartsError as CoarsepartsError

    __version__: str

_PLACES = {
    "train": "experiments.train",
    "Run": "experiments.train",
    "load": "inference.model",
    "Model": "inference.model",
    "Parts": "inference.parts",
    "check": "data.check",
    "CheckReport": "data.check",
    "evaluate": "inference.evaluate",
    "Evaluation": "inference.evaluate",
    "measure": "measurement.folder",
    "CoarsepartsError": "system.errors",
}
"""The module of each public name; who adds one gives it a line here and one above."""

__all__ = ["__version__", *_PLACES]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("coarseparts")
    elif name in _PLACES:
        from importlib import import_module

        value = getattr(import_module(f"coarseparts.{_PLACES[name]}"), name)
    else:
        raise AttributeError(f"module 'coarseparts' has no attribute {name!r}; it has {', '.join(__all__)}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
