"""How a run is trained again, with what was corrected: the lines for its dataset file, and the command."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from coarseparts.system.documents import DocumentError, load_json
from coarseparts.training.claims import read_config
from coarseparts.training.methods import METHODS
from coarseparts.training.networks import resolve
from coarseparts.training.settings import EFFORTS, PRESETS, Settings, settings


def command(run: Path, data: str, device: str = "cpu") -> str:
    """``coarseparts train`` as the run was trained, on the dataset file ``data``, into a folder beside it that is not
    there yet; ``device``: where."""
    words = ["coarseparts", "train", data, "--out", str(_beside(run)), *_as_trained(run, device)]
    return " ".join(map(shlex.quote, words))


def indent(data: Path | None) -> str:
    """How far the sources of a dataset file stand from the left, which has to be the same for all."""
    with suppress(OSError, UnicodeDecodeError):
        if data and (found := re.search(_SOURCES, data.read_text("utf-8"), re.MULTILINE)):
            return found[1]
    return ""


_SOURCES = r"^sources:.*\n(?:[ \t\r]*(?:#.*)?\n)*( *)-"


def _beside(run: Path) -> Path:
    """ "runs/ants" -> "runs/ants-2", or the next one that is not there."""
    name, number = run.name, 2
    if found := re.fullmatch(r"(.+)-(\d{1,6})", name):
        name, number = found[1], int(found[2]) + 1
    while (folder := run.with_name(f"{name}-{number}")).exists():
        number += 1
    return folder


def _as_trained(run: Path, device: str) -> Iterator[str]:
    """The options in which a run's training differs from the default one; none where its settings cannot be told."""
    file = run / "config.yaml"
    config = read_config(file) if file.is_file() else {}
    preset, (minutes, planned) = str(config.get("preset", "default")), _plan(run)
    if preset not in PRESETS:
        return
    try:
        was = Settings.model_validate(config["settings"])
    except (KeyError, ValidationError):
        return
    differ = {effort: _changes(was, preset, effort, device, planned) for effort in EFFORTS}
    effort = min(("standard", *EFFORTS), key=lambda each: len(differ[each]))
    if (method := _method(run)) != "em":
        yield from ("--method", method)
    if preset != "default":
        yield from ("--preset", preset)
    if minutes is not None:
        yield from ("--minutes", f"{minutes:g}")
    elif effort != "standard":
        yield from ("--effort", effort)
    if was.weights != settings(preset).weights:
        yield from ("--weights", was.weights)
    if seed := config.get("seed"):
        yield from ("--seed", str(seed))
    for key, value in differ[effort].items():
        yield from ("--set", f"{key}={value if isinstance(value, str) else json.dumps(value)}")


def _changes(was: Settings, preset: str, effort: str, device: str, planned: Collection[str]) -> dict[str, Any]:
    """The settings that are others than those of a preset and an effort, without those that follow from data, weights,
    machine or plan."""
    plain = settings(preset, {"weights": was.weights}, effort)
    if was.weights in ("random", "imagenet"):  # the encoder follows from a file
        plain = resolve(plain, device)
    now = dict(_leaves(plain))
    undecided = {key for key in ("encoder", "stages") if now[key] in ("auto", 0)}
    passed_over = {"precision", *undecided, *planned}
    return {key: value for key, value in _leaves(was) if value != now[key] and key not in passed_over}


def _method(run: Path) -> str:
    """Whose stages lie in a run folder; that of a method begins with other methods' stages."""
    there = {folder.name for folder in (run / "stages").glob("*")}
    own = [name for name in METHODS if name in there]
    return own[-1] if own and "em" not in own else "em"


def _plan(run: Path) -> tuple[float | None, dict[str, Any]]:
    """The minutes that a training was to take, and the settings that follow from that."""
    try:
        found = load_json(run / "plan.json")
        return float(found["minutes"]), dict(found["settings"])
    except (OSError, DocumentError, KeyError, TypeError, ValueError):
        return None, {}


def _leaves(group: BaseModel, head: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in group:
        if isinstance(value, BaseModel):
            yield from _leaves(value, f"{head}{name}.")
        else:
            yield f"{head}{name}", value
