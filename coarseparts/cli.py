"""The command line: thin verbs. Exit status 0 done, 1 failed while running, 2 bad input or usage.

Errors go to standard error, one problem a line.
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from coarseparts import benchmark as matrix
from coarseparts import demo as demonstration
from coarseparts import methods, options, prepare_cli, presets, reporting
from coarseparts import sweep as sweeping
from coarseparts.data.build import build_store
from coarseparts.data.check import check as examine
from coarseparts.data.check import save_sheet
from coarseparts.data.dataset_file import DatasetFile, load_dataset_file, nearest
from coarseparts.data.problems import BadInput, Problem
from coarseparts.data.sample import STYLES
from coarseparts.data.store import Store
from coarseparts.em import TrainingDiverged
from coarseparts.evaluation import comparison
from coarseparts.evaluation.iou import to_json
from coarseparts.evaluation.published import PUBLISHED
from coarseparts.experiment import Experiment
from coarseparts.measure import evaluate_store
from coarseparts.model import Model, resolve
from coarseparts.palette import colours
from coarseparts.predict import predict_folder, run_model
from coarseparts.runs import RunError, alone, claimed, read_config, same_as_before, shared
from coarseparts.system import parallel
from coarseparts.system.device import keep_freed_memory

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(prepare_cli.app, name="prepare")
out, err = Console(markup=False), Console(stderr=True, markup=False)  # a path may have brackets in it
if not out.is_terminal:
    out = Console(width=120, markup=False)  # a table in a log file keeps its columns

Device = Annotated[str, typer.Option(help="auto, cpu or cuda")]
Seed = Annotated[int, typer.Option(min=0, max=2**31 - 1, help="fixes initial weights, order and augmentation")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="go on without bad images; says how many")]
Changes = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="any setting; see `coarseparts settings`")
]


def _print_version(asked: bool) -> None:
    if asked:
        print(f"coarseparts {version('coarseparts')}, torch {version('torch')}, timm {version('timm')}")
        raise typer.Exit


@app.callback()
def start(
    _: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="print the version and exit")
    ] = False,
) -> None:
    """Segment the parts of objects from a few part masks and the coarse labels that you already have.

    Exit status: 0 done, 1 failed while running, 2 bad input or usage; errors go to standard error, one a line.
    """


@app.command()
def check(
    data: Annotated[Path, typer.Argument(help="dataset file (YAML)")],
    sheet: Annotated[Path | None, typer.Option(help="contact sheet PNG to write [DATA-check.png]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """What is in my data, and what is wrong with it."""
    found = examine(load_dataset_file(data), progress=options.progress("checking", err))
    if as_json:
        print(found.to_json())
    else:
        out.print(found.to_text())
        target = sheet or data.with_name(f"{data.stem}-check.png")
        if save_sheet(found, target):
            out.print(f"samples with their labels: {target}", highlight=False)
    if found.errors:
        raise typer.Exit(2)


@app.command()
def train(
    data: Annotated[Path, typer.Argument(help="dataset file (YAML)")],
    run: Annotated[Path, typer.Option("--out", help="run folder; the same command again goes on where it stopped")],
    method: Annotated[str, typer.Option(help=f"one of {', '.join(methods.METHODS)}")] = "em",
    preset: Annotated[str, typer.Option(help=f"one of {', '.join(presets.PRESETS)}")] = "default",
    weights: Annotated[str, typer.Option(help="random, imagenet, or a safetensors/pth file")] = "",
    labels: Annotated[str, typer.Option(help="coarse labels to use, e.g. keypoints,mask,box [all there are]")] = "",
    parts_limit: Annotated[int | None, typer.Option(min=1, help="use only the first N part masks")] = None,
    changes: Changes = [],  # noqa: B006 - typer copies it
    seed: Seed = 0,
    device: Device = "auto",
    skip_bad: SkipBad = False,
) -> None:
    """Train on a dataset file and measure on its validation split; ends with a table and report.html."""
    options.one_of("--method", method, methods.METHODS)
    dataset = load_dataset_file(data)
    _train(dataset, data, run, [method], preset, weights, labels, parts_limit, changes, [seed], device, skip_bad)


@app.command()
def compare(
    data: Annotated[Path, typer.Argument(help="dataset file (YAML)")],
    run: Annotated[Path, typer.Option("--out", help="folder; a run folder per seed in it")],
    names: Annotated[
        str, typer.Option("--methods", help=f"of {', '.join(methods.METHODS)}")
    ] = "fine-tuning,distillation,em",
    seeds: Annotated[str, typer.Option(help="e.g. 0,1,2")] = "0",
    preset: Annotated[str, typer.Option(help=f"one of {', '.join(presets.PRESETS)}")] = "default",
    weights: Annotated[str, typer.Option(help="random, imagenet, or a safetensors/pth file")] = "",
    labels: Annotated[str, typer.Option(help="coarse labels to use [all there are]")] = "",
    parts_limit: Annotated[int | None, typer.Option(min=1, help="use only the first N part masks")] = None,
    changes: Changes = [],  # noqa: B006
    device: Device = "auto",
    skip_bad: SkipBad = False,
) -> None:
    """Several methods and seeds on the same data, in one table."""
    chosen = options.names("--methods", names, methods.METHODS)
    if not chosen:
        raise BadInput(Problem("--methods", "names none", f"name some of {', '.join(methods.METHODS)}"))
    numbers = options.seeds(seeds)
    dataset = load_dataset_file(data)
    _train(dataset, data, run, chosen, preset, weights, labels, parts_limit, changes, numbers, device, skip_bad)


@app.command()
def demo(
    run: Annotated[Path, typer.Option("--out", help="folder to write")] = Path("runs/demo"),
    seeds: Annotated[str, typer.Option(help="e.g. 0,1,2")] = "0",
    device: Device = "auto",
) -> None:
    """The whole method on the built-in synthetic birds: a table of methods and a report to look at."""
    numbers = options.seeds(seeds)
    experiments = []
    rows: list[dict[str, Any]] = []
    with parallel.together(options.device(device)) as where, _one_voice(), claimed(run):
        for seed in numbers:
            experiment = demonstration.experiment(run / f"seed{seed}", seed, where, err)
            for method in demonstration.METHODS:
                err.print(Text.assemble((method, "bold"), f" (seed {seed})"))
                rows += methods.train(experiment, method)
                if method == "em":
                    experiment.export(has_posterior=True)
            experiments.append(experiment)
        reporting.finish(run, experiments, rows, "Synthetic birds", out)


@app.command()
def benchmark(
    data: Annotated[str, typer.Argument(help=f"{', '.join(matrix.WORLDS)}, or a dataset file (YAML)")],
    run: Annotated[Path, typer.Option("--out", help="folder; the same command again does the cells that are left")],
    names: Annotated[str, typer.Option("--methods", help=f"of {', '.join(methods.METHODS)} [all that fit]")] = "",
    parts: Annotated[
        str, typer.Option(help="numbers of part masks, e.g. 30,150 [all there are; synthetic birds: 30, aircraft: 60]")
    ] = "",
    labels: Annotated[str, typer.Option(help="coarse labels, e.g. all,mask,keypoints+box")] = "all",
    starts: Annotated[
        str, typer.Option(help=f"where encoders begin: of {', '.join(matrix.STARTS)}; weights: as --weights says")
    ] = "weights",
    seeds: Annotated[str, typer.Option(help="e.g. 0,1,2")] = "0,1,2",
    preset: Annotated[
        str,
        typer.Option(help=f"one of {', '.join(presets.PRESETS)}, or {presets.PUBLISHED}: each cell the paper's own"),
    ] = "default",
    split: Annotated[
        str, typer.Option(help="part-labelled images to measure on, val or test [val; built-in worlds: test]")
    ] = "",
    weights: Annotated[str, typer.Option(help="random, imagenet, or a safetensors/pth file")] = "",
    changes: Changes = [],  # noqa: B006
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print the cells and the time they may take")] = False,
    device: Device = "auto",
    skip_bad: SkipBad = False,
) -> None:
    """Methods x beginnings x labels x part masks x seeds: results.csv, table.md and report.html, resumable by cell.

    Under torchrun each process takes its share of the cells, one GPU each.
    """
    where = options.own_gpu(options.device(device))
    chosen = options.names("--methods", names, methods.METHODS) or None
    styles = options.names("--labels", labels)
    for style in styles:
        for one in style.split("+"):
            options.one_of("--labels", one, ("all", *STYLES))
    begins, numbers = options.names("--starts", starts, matrix.STARTS), options.seeds(seeds)
    given = options.changes(changes) | ({"weights": weights} if weights else {})
    options.one_of("--preset", preset, (*presets.PRESETS, presets.PUBLISHED))
    first = "paper" if preset == presets.PUBLISHED else preset
    resolve(presets.settings(first, given), where)  # a wrong setting is told before anything is read
    split = split or ("test" if data in matrix.WORLDS else "val")
    options.one_of("--split", split, ("val", "test"))
    with shared(run):
        opened = _opened(data, run / "data", skip_bad, split)
        limits = options.whole_numbers("--parts", parts) or [opened.parts]
        opened.check(limits)
        if not dry_run:
            source = data if data in matrix.WORLDS else str(Path(data).resolve())
            said: dict[str, Any] = {"data": source, "data_hash": opened.key, "split": split, "preset": preset}
            said |= {"set": {key: str(value) for key, value in given.items()}}
            begun = any(run.glob("*/seed*/stages/*/state.pt")) or any(run.glob("*/seed*/results/*.json"))
            same_as_before(run / "benchmark.yaml", said, "benchmark", begun)

    def own(method: str, start: str) -> str:
        return presets.published(method, start, opened.overlapping) if preset == presets.PUBLISHED else ""

    cells = matrix.plan(chosen or opened.fitting(), limits, styles, begins, numbers, own)

    def experiment(cell: matrix.Cell, folder: Path) -> Experiment:
        begin = matrix.STARTS[cell.conditions.start]
        settings = resolve(presets.settings(cell.preset or preset, given | begin), where)
        return opened.experiment(cell.conditions, folder, settings, where, err)

    if dry_run:
        with tempfile.TemporaryDirectory() as place:
            rows = matrix.estimate(cells, run, lambda cell: experiment(cell, Path(place)).probe())
        matrix.print_plan(rows, out)
        return

    failed: list[str] = []
    results = matrix.run(cells, run, experiment, err, failed)
    paper = PUBLISHED.get((Path(data).stem, split))
    facts = {"data": data, "preset": preset, "settings": ", ".join(changes) or "as the preset", "device": where}
    facts["measured on"] = split
    matrix.write_results(run, results, Path(data).stem, facts, paper, matrix.galleries(cells, run))
    out.print(comparison.to_markdown(results, published=paper), highlight=False)
    out.print(f"report: {run / 'report.html'}", highlight=False)
    if failed:
        raise RunError("\n".join([f"{run}: {len(failed)} cells failed, the same command tries them again", *failed]))


@app.command()
def sweep(
    data: Annotated[str, typer.Argument(help=f"{', '.join(matrix.WORLDS)}, or a dataset file (YAML)")],
    run: Annotated[Path, typer.Option("--out", help="folder; the same command again does the trials that are left")],
    over: Annotated[list[str], typer.Option(metavar="KEY=A,B,.. or KEY=LOW:HIGH[:log]", help="a setting to vary")],
    method: Annotated[str, typer.Option(help=f"one of {', '.join(methods.METHODS)}")] = "em",
    sampler: Annotated[str, typer.Option(help=f"one of {', '.join(sweeping.SAMPLERS)}")] = "random",
    trials: Annotated[int, typer.Option(min=1, help="how many settings to try; a grid tries all")] = 20,
    parts: Annotated[
        int | None, typer.Option(min=1, help="number of part masks [all there are; synthetic birds: 30, aircraft: 60]")
    ] = None,
    preset: Annotated[str, typer.Option(help=f"one of {', '.join(presets.PRESETS)}")] = "default",
    weights: Annotated[str, typer.Option(help="random, imagenet, or a safetensors/pth file")] = "",
    changes: Changes = [],  # noqa: B006
    seed: Seed = 0,
    device: Device = "auto",
    skip_bad: SkipBad = False,
) -> None:
    """Choose settings on the validation images (Appendix C): a table of trials and the best ones as --set options."""
    where = options.device(device)
    options.one_of("--method", method, methods.METHODS)
    options.one_of("--sampler", sampler, sweeping.SAMPLERS)
    axes = [sweeping.axis(text) for text in over]
    given = options.changes(changes) | ({"weights": weights} if weights else {})
    for one in axes:
        presets.settings(preset, given | {one.key: one.example})  # a wrong key or value is told before anything is read
    with alone(run):
        opened = _opened(data, run / "data", skip_bad)
        opened.check([parts or opened.parts])
        conditions = matrix.Conditions(parts or opened.parts, "all", "weights", seed)
        source = data if data in matrix.WORLDS else str(Path(data).resolve())
        said = {"data": source, "data_hash": opened.key, "preset": preset, "method": method, "seed": seed}
        said |= {"parts": conditions.parts, "set": {key: str(value) for key, value in given.items()}}

        def measure(chosen: dict[str, Any], folder: Path) -> float:
            settings = resolve(presets.settings(preset, given | chosen), where)
            experiment = opened.experiment(conditions, folder, settings, where, err)
            try:
                methods.train(experiment, method)
            except TrainingDiverged as error:
                err.print(f"failed: {', '.join(f'{k}={v}' for k, v in chosen.items())}: {error}", soft_wrap=True)
                raise
            return float(experiment.evaluate("part")["part_miou"])

        done = sweeping.run(axes, cast(sweeping.Sampler, sampler), trials, run, measure, seed, said)
        best = sweeping.write_results(run, done)
        sweeping.print_results(done, out)
        if not done:
            raise RunError(f"{run}: no trial came to an end; try smaller learning rates")
        out.print(f"best: {' '.join(best)}", highlight=False)


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
    trained = run_model(run, options.device(device))
    store = _store_for(trained, run, data, split, skip_bad)
    measures = evaluate_store(trained, store, split, model)
    bare = sum(not any(store.present[style][row] for style in trained.styles) for row in store.rows(split, has="parts"))
    if model == "posterior" and bare:
        message = f"{bare} of {measures['images']} images have no coarse label, and the posterior sees the image alone"
        err.print(f"note: {message}", highlight=False, soft_wrap=True)
    if as_json:
        print(to_json(measures))
        return
    low, high = measures["ci95"]
    out.print(
        f"{measures['images']} images, part mIoU {measures['part_miou']:.1f} % (95 % interval {low:.1f} to {high:.1f})"
    )
    out.print(f"mIoU with background {measures['miou']:.1f} %")
    for name, value in measures["iou"].items():
        out.print(f"  {name:20s} {value:5.1f}", highlight=False)
    if points := measures["pck"]:
        out.print(
            f"keypoints within 10 % of the object's size: {points['from_parts']:.1f} % found from the true parts, "
            f"{points['from_image']:.1f} % from the image ({points['points']} points)"
        )


@app.command()
def predict(
    run: Annotated[Path, typer.Argument(help="run folder")],
    images: Annotated[Path, typer.Argument(help="folder of photographs, or one")],
    target: Annotated[Path, typer.Option("--out", help="folder for <stem>.png: part indices at the image's own size")],
    labels: Annotated[Path | None, typer.Option(help="COCO file with coarse labels of these images")] = None,
    part_boxes: Annotated[Path | None, typer.Option(help="COCO file with boxes of parts of these images")] = None,
    overlay: Annotated[bool, typer.Option("--overlay", help="also write pictures to look at")] = False,
    coco: Annotated[Path | None, typer.Option(help="also write a COCO file")] = None,
    shard: Annotated[str, typer.Option(help="I/N: every N-th image from the I-th on [all; torchrun: its own]")] = "",
    device: Device = "auto",
    skip_bad: SkipBad = False,
) -> None:
    """The parts of photographs; what this model has predicted into the folder already is not done again."""
    own = options.shard(shard)
    if own[1] > 1 and coco is not None:
        remedy = "leave --coco out, and run once more without shards when all are done: nothing is predicted again"
        raise BadInput(Problem("--coco", "is a file of all images, and this is a share of them", remedy))
    trained = run_model(run, options.own_gpu(options.device(device)))
    bar = options.progress("predicting", err) if own[0] == 0 else None
    done = predict_folder(trained, images, target, labels, overlay, coco, skip_bad, bar, own, part_boxes)
    for problem in done.problems:
        err.print(str(problem), highlight=False, soft_wrap=True)
    left = f", {done.left_out} left out" if done.left_out else ""
    kept = f" ({done.kept} of them there before)" if done.kept else ""
    part = f"shard {own[0] + 1} of {own[1]}: " if own[1] > 1 else ""
    out.print(f"{part}{done.written + done.kept} part maps in {target}{kept}{left}", highlight=False)
    if overlay:
        legend = Text("colours: ")
        for name, rgb in zip(trained.schema.parts, colours(len(trained.schema.parts)).tolist(), strict=True):
            legend.append("#{:02x}{:02x}{:02x} ".format(*rgb), f"rgb({rgb[0]},{rgb[1]},{rgb[2]})").append(f"{name}  ")
        out.print(legend)


@app.command()
def networks() -> None:
    """Multiply-accumulates and parameters of the paper's networks (Fig. 6) for one 256 x 256 image."""
    from coarseparts.networks.macs import network_table  # here, for torch's counter takes a while to import

    for row in network_table():
        out.print(
            f"{row.name:16s} {row.macs / 1e9:7.2f} G MAC {row.parameters / 1e6:7.2f} M parameters", highlight=False
        )


@app.command()
def settings() -> None:
    """Every setting with its default, for --set KEY=VALUE."""
    for key, default, text in presets.describe():
        out.print(f"{key} = {default}\n    {text}", highlight=False)


def _opened(data: str, cache: Path, skip_bad: bool, split: str = "") -> matrix.Data:
    """A built-in world or a dataset file, with what is wrong printed."""
    if data in matrix.WORLDS:
        return matrix.WORLDS[data](cache, split or "test")
    if data.startswith("synthetic") and not Path(data).exists():
        raise BadInput(Problem(data, "is neither a built-in world nor a file", nearest(data, matrix.WORLDS)))
    opened, problems = matrix.dataset_file(
        Path(data), cache, options.progress("reading images", err), skip_bad, split or "val"
    )
    for problem in problems:
        err.print(str(problem), highlight=False, soft_wrap=True)
    return opened


def _train(
    dataset: DatasetFile,
    data: Path,
    run: Path,
    wanted: list[str],
    preset: str,
    weights: str,
    labels: str,
    parts_limit: int | None,
    changes: list[str],
    seeds: list[int],
    device: str,
    skip_bad: bool,
) -> None:
    where = options.device(device)
    chosen = options.changes(changes) | ({"weights": weights} if weights else {})
    settings = resolve(presets.settings(preset, chosen), where)
    styles = options.names("--labels", labels, STYLES) or None
    with parallel.together(where) as where, _one_voice(), claimed(run):
        reporting.nothing_dropped(run, wanted, seeds)
        with parallel.main_first():
            store, problems = build_store(
                dataset, run / "store", skip_bad, options.progress("reading images", err), for_training=True
            )
        for problem in problems:
            err.print(str(problem), highlight=False, soft_wrap=True)
        experiments, rows = [], []
        failed: list[str] = []
        for seed in seeds:
            before = len(failed)
            experiment = Experiment(
                store,
                settings,
                run if len(seeds) == 1 else run / f"seed{seed}",
                seed,
                where,
                styles,
                parts_limit,
                dataset.crop.model_dump(),
                config={"data": str(data.resolve()), "preset": preset},
                keypoint_parts=dataset.keypoint_parts,
                console=err,
            )
            methods.check(experiment, wanted)
            _announce(experiment)
            for method in wanted:
                err.print(Text(method, "bold"))
                try:
                    rows += methods.train(experiment, method)
                except TrainingDiverged as error:
                    if len(wanted) * len(seeds) == 1 or parallel.count() > 1:
                        raise
                    failed.append(f"{method} (seed {seed}): {error}")
                    err.print(f"failed: {failed[-1]}", soft_wrap=True)
                    continue
                if method == ("em" if "em" in wanted else wanted[-1]):
                    experiment.export(has_posterior=methods.METHODS[method].posterior)
            if len(failed) == before:
                experiments.append(experiment)
        reporting.finish(run, experiments, rows, data.stem, out, [str(p) for p in problems])
        if failed:
            raise RunError("\n".join([f"{run}: not all methods came to an end", *failed]))


@contextmanager
def _one_voice() -> Iterator[None]:
    """Inside, of several processes the first one speaks."""
    was = out.quiet, err.quiet
    out.quiet = err.quiet = not parallel.is_main() or out.quiet
    try:
        yield
    finally:
        out.quiet, err.quiet = was


def _announce(experiment: Experiment) -> None:
    n, s = experiment.rows, experiment.settings
    labels = ", ".join(experiment.styles) or "no labels"
    held_out = " held out from the training part" if n.held_out else ""
    err.print(
        f"{len(n.part)} part masks, {len(n.coarse)} coarse images ({labels}), "
        f"{len(n.val)} validation images{held_out}; "
        f"{s.encoder}, {experiment.size} px, {experiment.device}, seed {experiment.seed}"
        f"{f', {parallel.count()} processes' if parallel.count() > 1 else ''}",
        highlight=False,
    )


def _store_for(trained: Model, run: Path, data: Path | None, split: str, skip_bad: bool) -> Store:
    config = run / "config.yaml"
    if data is None:
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
        raise BadInput(Problem(str(data), f"has no source with split: {split}", "choose another --split"))
    with tempfile.TemporaryDirectory() as scratch:
        store, problems = build_store(
            dataset.model_copy(update=same), Path(scratch), skip_bad, options.progress("reading images", err)
        )
        for problem in problems:
            err.print(str(problem), highlight=False, soft_wrap=True)
        return store.in_memory()


STOPPED = "stopped; the same command goes on where it was"


def main() -> None:
    """Entry point of the ``coarseparts`` command."""
    keep_freed_memory()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without a letter gets \\u... and not an error
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(standalone_mode=False)  # typer hands the status of an Exit back, and 130 for Ctrl-C
        sys.exit(_say(1, STOPPED) if code == 130 else code or 0)
    except BadInput as error:
        sys.exit(_say(2, *(str(p) for p in error.problems)))
    except ValidationError as error:
        sys.exit(_say(2, *(f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors())))
    except (RunError, TrainingDiverged, parallel.ProcessLost) as error:
        sys.exit(_say(1, str(error)))
    except ValueError as error:
        sys.exit(_say(2, str(error)))
    except typer.Exit as error:
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(_say(1, STOPPED))
    except BrokenPipeError:  # whoever read our output has had enough
        sys.exit(1)
    except OSError as error:
        named = error.filename if error.filename is not None else "a file"
        sys.exit(_say(1, f"{named}: {error.strerror or error}; see that it is there and may be read or written"))
    except MemoryError:
        sys.exit(_say(1, "not enough memory; lower --set batch=... and part_batch=..., or the dataset file's size"))
    except Exception as error:  # click's usage errors know their own text
        if hasattr(error, "format_message"):
            sys.exit(_say(2, error.format_message()))
        raise


def _say(code: int, *lines: str) -> int:
    for line in lines:
        print(line, file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
