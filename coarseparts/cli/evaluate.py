"""``coarseparts evaluate``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from coarseparts.cli import options
from coarseparts.cli.choices import Device, SkipBad
from coarseparts.cli.terminal import note, notes, progress, say
from coarseparts.data.build import build_store
from coarseparts.data.dataset_file import load_dataset_file
from coarseparts.data.problems import BadInput, Problem
from coarseparts.data.store import Store
from coarseparts.evaluation.iou import to_json
from coarseparts.inference.evaluate import evaluate_store
from coarseparts.inference.folder import run_model
from coarseparts.inference.model import Model
from coarseparts.training.claims import look_through, read_config

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="run folder")],
    data: Annotated[Path | None, typer.Option(help="another dataset file [the one it was trained on]")] = None,
    split: Annotated[str, typer.Option(help="train, val or test")] = "val",
    model: Annotated[
        str, typer.Option(help="part (sees the image) or posterior (sees the coarse labels, too)")
    ] = "part",
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
    device: Device = "auto",
    skip_bad: SkipBad = False,
) -> None:
    """Part IoU of a trained model on part-labelled images, and PCK of its keypoints, in percent."""
    options.one_of("--model", model, ("part", "posterior"))
    options.one_of("--split", split, ("train", "val", "test"))
    if run.is_dir():
        look_through(run)
    trained = run_model(run, options.device(device))
    store = _store_for(trained, run, data, split, skip_bad)
    measures = evaluate_store(trained, store, split, model)
    bare = sum(not any(store.present[style][row] for style in trained.styles) for row in store.rows(split, has="parts"))
    if model == "posterior" and bare:
        alone = "have no coarse label, and the posterior sees the image alone"
        note(f"note: {bare} of {measures['images']} images {alone}")
    if as_json:
        print(to_json(measures))
        return
    low, high = measures["ci95"]
    say(f"{measures['images']} images, part mIoU {measures['part_miou']:.1f} % (95 % interval {low:.1f} to {high:.1f})")
    say(f"mIoU with background {measures['miou']:.1f} %")
    for name, value in measures["iou"].items():
        say(f"  {name:20s} {value:5.1f}")
    if points := measures["pck"]:
        say(
            f"keypoints within 10 % of the object's size: {points['from_parts']:.1f} % found from the true parts, "
            f"{points['from_image']:.1f} % from the image ({points['points']} points)"
        )


def _store_for(trained: Model, run: Path, data: Path | None, split: str, skip_bad: bool) -> Store:
    if data is None:
        config = run / "config.yaml"
        named = read_config(config).get("data") if config.is_file() else None
        if not isinstance(named, str):
            raise BadInput(
                Problem(str(run), "does not say which data it was trained on", "name a dataset file with --data")
            )
        data = Path(named)
    dataset = load_dataset_file(data)
    if dataset.parts != trained.schema.parts:
        expected = f"has the parts {list(dataset.parts)}, the model {list(trained.schema.parts)}"
        raise BadInput(Problem(str(data), expected, "use a dataset file with the same parts in the same order"))
    if dataset.overlapping != trained.schema.overlapping:
        expected = f"overlapping is {dataset.overlapping}, of the model {trained.schema.overlapping}".lower()
        raise BadInput(Problem(str(data), expected, "use a dataset file whose parts are labelled as the model's were"))
    same = {
        "keypoints": trained.schema.keypoints or None,
        "mirror": trained.schema.mirror,
        "keypoint_mirror": trained.schema.keypoint_mirror,
        "size": trained.size,
        "sources": tuple(s for s in dataset.sources if s.split == split),
    }
    if not same["sources"]:
        there = ", ".join(dict.fromkeys(s.split for s in dataset.sources))
        raise BadInput(Problem(str(data), f"has no source with split: {split}, only {there}", "choose another --split"))
    with tempfile.TemporaryDirectory() as scratch:
        store, problems = build_store(
            dataset.model_copy(update=same), Path(scratch), skip_bad, progress("reading images")
        )
        notes(problems)
        return store.in_memory()
