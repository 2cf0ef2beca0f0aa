"""``coarseparts export``: a run's model in a format that others read, checked against ours before a file is there."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from coarseparts.export import hub
from coarseparts.export.graph import OUTPUT, Graph, styles_of
from coarseparts.export.int8 import Int8, int8_of, seen
from coarseparts.export.onnx_file import libraries, onnx_of, runs_onnx
from coarseparts.export.torchscript import runs_torchscript, torchscript_of
from coarseparts.export.verify import TOLERANCE, difference
from coarseparts.inference.model import HUB_CONFIG, MODEL_TYPE, Model, load
from coarseparts.report.model_card import FILE
from coarseparts.report.palette import colours
from coarseparts.system.documents import load_json
from coarseparts.system.errors import Failed, RunError, WrongArgument
from coarseparts.system.files import path_of, write_whole
from coarseparts.system.locks import Tell, silent
from coarseparts.system.text import nearest, short
from coarseparts.training.claims import explained

TARGETS = ("onnx", "torchscript", "hub-folder")

ABOUT = "coarseparts.json"

INT8 = "part_model_int8.onnx"

GRAPHS = {ABOUT, INT8} | {f"{name}.{suffix}" for name in ("part_model", "with_labels") for suffix in ("onnx", "pt")}
"""Names of graphs, and of what describes them: those that an earlier export left are of another model."""

Runs = Callable[[Any], np.ndarray]


@dataclass(frozen=True)
class Export:
    """What was written: ``files`` in ``folder``; ``difference``: the largest one of a probability to ours, by file;
    ``int8``: what the file in INT8 costs and gains, where one was asked for."""

    folder: Path
    files: tuple[Path, ...]
    difference: dict[str, float]
    int8: Int8 | None = None


def export(
    run: str | os.PathLike[str],
    to: str,
    out: str | os.PathLike[str],
    *,
    flip: bool | None = None,
    int8: str | os.PathLike[str] | None = None,
    tell: Tell = silent,
) -> Export:
    """Writes a trained model for other programs into the folder ``out``.

    ``run``: a run folder or its ``model/``. ``to``: "onnx" or "torchscript", a file for the part model and one that
    takes coarse labels, too, with preprocessing inside, and ``coarseparts.json``, which describes them; or
    "hub-folder", which ``coarseparts.load`` reads back. ``flip``: whether the mean over the mirror image is part of the
    graph; None: as the model was measured. ``int8``: for "onnx", photographs like those that it is for, an image or a
    folder: ``part_model_int8.onnx`` is written, too, whose convolutions compute in 8 bits in the ranges that these
    show; it is not as exact as the others, and what it costs and gains on them is measured. ``tell`` hears what is
    going on.

    All files are checked and then written, each whole or not at all; an earlier export there is replaced. Raises
    WrongArgument; BadInput where no photograph of ``int8`` can be used; RunError where there is no model, or ``out``
    holds other things; Failed where onnx is not installed, and where a file says something else than the model (by more
    than 1e-4).

        export("runs/ants", "onnx", "ants-onnx")
    """
    if to not in TARGETS:
        raise WrongArgument(f"to: is {short(to)}; {nearest(str(to), TARGETS)}")
    if int8 is not None and to != "onnx":
        raise WrongArgument(f"int8: is for onnx, not for {to}")
    source, folder = path_of("run", run), path_of("out", out)
    if to == "onnx":
        libraries()
    _may_be_written(folder)
    model = _in_float32(load(source, "cpu", flip))
    photographs = None if int8 is None else seen(model, path_of("int8", int8))
    apart: dict[str, float] = {}
    small: Int8 | None = None
    if to == "hub-folder":
        files = _hub_folder(model, source, folder, tell)
    else:
        files, apart, about = _graphs(model, to, tell)
        if photographs is not None:
            tell(f"{INT8}: writing and measuring on {len(photographs)} photographs")
            files[INT8], small = int8_of(files["part_model.onnx"], photographs, model.schema.maps)
            facts = {"agreement": small.agreement, "sha256": hashlib.sha256(files[INT8]).hexdigest()}
            about["files"][INT8] = {**about["files"]["part_model.onnx"], "difference": None, **facts}
        files[ABOUT] = json.dumps(about, indent=1).encode()
    try:
        earlier = GRAPHS - files.keys() if (folder / ABOUT).is_file() else ()
        for name, content in files.items():
            write_whole(folder / name, content)
        for name in earlier:
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise explained(Path(error.filename or folder), error) from error
    return Export(folder, tuple(folder / name for name in files), apart, small)


def _may_be_written(folder: Path) -> None:
    found = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    if folder.is_file() or (found and ABOUT not in found and not _is_hub_folder(folder)):
        raise RunError(f"{folder}: holds other things than an export; take another --out")


def _is_hub_folder(folder: Path) -> bool:
    """Whether it is one of ours: every hub's folders have a file of that name."""
    try:
        found = load_json(folder / HUB_CONFIG)
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("model_type") == MODEL_TYPE


def _in_float32(model: Model) -> Model:
    """The model whose networks compute in float32, whatever is native to this machine."""
    networks = model.networks
    for network in networks.trained:
        for module in network.modules():
            if hasattr(module, "precision"):
                module.precision = "float32"  # type: ignore[assignment]
    return model


def _graphs(model: Model, to: str, tell: Tell) -> tuple[dict[str, bytes], dict[str, float], dict[str, Any]]:
    """The files of "onnx" or "torchscript" by name, how far each is from ours, and what describes them."""
    make, runs, suffix = (onnx_of, runs_onnx, "onnx") if to == "onnx" else (torchscript_of, runs_torchscript, "pt")
    fast = replace(model.fast, flip=model.flip)
    wanted = {f"part_model.{suffix}": (), f"with_labels.{suffix}": styles_of(model)}
    if not wanted[f"with_labels.{suffix}"]:
        del wanted[f"with_labels.{suffix}"]
        why = (
            "one posterior for each subset of labels is no single graph"
            if model.has_posterior
            else "it has no posterior"
        )
        tell(f"the part model alone is exported: {why}")
    files: dict[str, bytes] = {}
    about, apart = _about(model), {}
    for name, styles in wanted.items():
        tell(f"{name}: writing and checking")
        graph = Graph(fast, styles, model.flip).eval()
        described = {**about, **_described(graph)}
        files[name] = make(graph, json.dumps(described))
        apart[name] = difference(fast, graph, runs(files[name]))
        if not apart[name] <= TOLERANCE:
            message = f"probabilities differ by {apart[name]:.1g} from the model's, {TOLERANCE:g} at most are allowed"
            raise Failed(f"{name}: {message}; nothing was written: try another version of torch or onnxruntime")
        digest = hashlib.sha256(files[name]).hexdigest()
        facts = {"difference": apart[name], "sha256": digest}
        about["files"][name] = {**_described(graph), **facts}
    return files, apart, about


def _about(model: Model) -> dict[str, Any]:
    """What holds for all files of a model."""
    schema, preprocess = model.schema, model.settings.preprocess
    return {
        "format": 1,
        "coarseparts": version("coarseparts"),
        "parts": list(schema.parts),
        "overlapping": schema.overlapping,
        "colours": colours(len(schema.parts)).tolist(),
        "keypoints": list(schema.keypoints),
        "size": model.size,
        "crop": model.crop,
        "normalisation": {"inside": True, "mean": preprocess.mean, "std": preprocess.std},
        "flip": model.flip,
        "files": {},
    }


def _described(graph: Graph) -> dict[str, Any]:
    """What goes into a graph and what comes out."""
    image = {"type": "uint8", "shape": ["B", "H", "W", "3"], "meaning": "RGB photographs, upright, of any size"}
    labels = {
        name: {"type": each.type, "shape": ["B", *each.shape], "none": each.none, "meaning": each.meaning}
        for name, each in graph.inputs.items()
    }
    channels = graph.y.outputs
    meaning = (
        "of each part by itself" if graph.schema.overlapping else "of the background, then each part; they sum to 1"
    )
    out = {"type": "float32", "shape": ["B", channels, graph.size, graph.size], "meaning": f"probability {meaning}"}
    return {"inputs": {"image": image, **labels}, "outputs": {OUTPUT: out}}


def _hub_folder(model: Model, source: Path, folder: Path, tell: Tell) -> dict[str, bytes]:
    """The files of "hub-folder"; a card that is there already was perhaps filled in, and stays."""
    files = hub.hub_files(model)
    if os.path.lexists(folder / "README.md"):
        tell(f"{folder / 'README.md'}: is there already and stays as it is")
    else:
        files["README.md"] = hub.readme(model, [source / FILE, source.parent / FILE])
    return files
