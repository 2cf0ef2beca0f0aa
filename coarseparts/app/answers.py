"""A model that many requests ask: one at a time, a short queue, photographs kept while they are worked on."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from coarseparts.app.errors import Refused, busy
from coarseparts.data.images import Photograph, read_photograph
from coarseparts.data.sample import Sample
from coarseparts.inference.model import Model
from coarseparts.inference.parts import Parts
from coarseparts.inference.predict import Prediction, predict_samples
from coarseparts.system.errors import CoarsepartsError
from coarseparts.system.problems import BadInput

WAITING = 8
"""Requests that may wait for the model; the next one is told to come again."""

PATIENCE = 20.0
"""Seconds that a request waits at most."""

KEPT_BYTES = 400_000_000
"""Decoded photographs that are kept, at most, but for the last one."""


@dataclass(frozen=True)
class Answer:
    """``maps``: (H, W) uint8 at the photograph's own size, one of indices, or of overlapping parts one of 0 and 255
    each; ``scores`` by part, 0..1; ``confidence``: the mean probability of what is said where a part is said, 0..1."""

    maps: list[np.ndarray]
    scores: dict[str, float]
    confidence: float


class Answers:
    """Safe to ask from several threads."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._model_lock = threading.Lock()
        self._waiting = threading.Semaphore(WAITING)
        self._photographs: OrderedDict[tuple[Path, int, int], Photograph] = OrderedDict()
        self._lock = threading.Lock()

    def photograph(self, path: Path) -> Photograph:
        """A photograph, decoded and upright. Raises Refused where it cannot be read."""
        try:
            now = path.stat()
            key = path, now.st_mtime_ns, now.st_size  # a file may be written anew while it is looked at
        except OSError:
            key = path, 0, 0  # reading it says why
        with self._lock:
            if key in self._photographs:
                self._photographs.move_to_end(key)
                return self._photographs[key]
        try:
            found = read_photograph(path)
        except BadInput as error:
            raise Refused(410, without_paths(error)) from None
        with self._lock:
            self._photographs[key] = found
            while len(self._photographs) > 1 and sum(p.array.nbytes for p in self._photographs.values()) > KEPT_BYTES:
                self._photographs.popitem(last=False)
        return found

    def of_file(self, path: Path, labels: dict[str, Any]) -> Answer:
        """The parts of a photograph with labels (``Model.predict``'s, in pixels of the photograph at its own size).
        Raises Refused."""
        return self.of_photograph(self.photograph(path), labels)

    def of_photograph(self, photograph: Photograph, labels: dict[str, Any]) -> Answer:
        """As ``of_file``."""
        height, width = photograph.array.shape[:2]
        scaled = _scaled(labels, width / photograph.size[0], height / photograph.size[1], (width, height))
        with self._turn():
            try:
                parts = self.model.predict(photograph.array, **scaled)
            except CoarsepartsError as error:
                raise Refused(422, without_paths(error)) from None
        return _answer(parts, self.model, photograph.size)

    def of_samples(self, samples: list[Sample]) -> list[Prediction]:
        """What the model says of objects with their labels. Raises Refused."""
        with self._turn():
            try:
                return predict_samples(self.model.fast, samples)
            except CoarsepartsError as error:
                raise Refused(422, without_paths(error)) from None

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._waiting.acquire(blocking=False):
            raise busy()
        try:
            if not self._model_lock.acquire(timeout=PATIENCE):
                raise busy()
            try:
                yield
            finally:
                self._model_lock.release()
        finally:
            self._waiting.release()

    @property
    def idle(self) -> bool:
        """Whether nobody asks the model at this moment."""
        return not self._model_lock.locked()


class Ahead:
    """A thread that looks at the images nobody has opened yet, while nobody asks, so that the grid can be sorted by
    how sure the model is. ``work``: a number -> looks at that image."""

    def __init__(self, answers: Answers, numbers: list[int], work: Callable[[int], object]) -> None:
        self._answers, self._numbers, self._work = answers, numbers, work
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when it has ended."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        for number in self._numbers:
            while not self._answers.idle and not self._stop.wait(0.2):
                pass
            if self._stop.wait(0.05):  # a breath for requests
                return
            try:
                self._work(number)
            except Refused as refusal:
                if refusal.status == 503:
                    time.sleep(1)


def _scaled(labels: dict[str, Any], by_x: float, by_y: float, size: tuple[int, int]) -> dict[str, Any]:
    """Labels in the pixels of a photograph that was read at a reduced size."""
    if by_x == by_y == 1:
        return labels
    found = dict(labels)
    if labels.get("keypoints"):
        found["keypoints"] = {n: (v[0] * by_x, v[1] * by_y, *v[2:]) for n, v in labels["keypoints"].items()}
    if labels.get("box") is not None:
        x0, y0, x1, y1 = labels["box"]
        found["box"] = x0 * by_x, y0 * by_y, x1 * by_x, y1 * by_y
    if labels.get("mask") is not None:
        found["mask"] = np.asarray(Image.fromarray(labels["mask"]).resize(size, Image.Resampling.NEAREST))
    return found


def _answer(parts: Parts, model: Model, size: tuple[int, int]) -> Answer:
    if model.schema.overlapping:
        maps = [np.where(mask, 255, 0).astype(np.uint8) for mask in parts.masks.values()]
    else:
        maps = [parts.index]
    if maps[0].shape[::-1] != size:
        maps = [np.asarray(Image.fromarray(each).resize(size, Image.Resampling.NEAREST)) for each in maps]
    scores = parts.prediction.scores()
    shown = scores[scores > 0]
    named = {name: round(float(score), 4) for name, score in zip(parts.names, scores, strict=True)}
    return Answer(maps, named, round(float(shown.mean()), 4) if len(shown) else 0.0)


def without_paths(error: CoarsepartsError) -> str:
    """What went wrong, and the remedy, without the file's place."""
    if isinstance(error, BadInput):
        return "; ".join(f"{p.message}; {p.remedy}" if p.remedy else p.message for p in error.problems[:3])
    return str(error).partition("\n")[0][:500]
