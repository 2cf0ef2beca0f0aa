"""``coarseparts evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from coarseparts.cli import help, options
from coarseparts.cli.choices import Device, Flip, Json, MaxPixels, Run, SkipBad
from coarseparts.cli.help import DataOption, verb
from coarseparts.cli.terminal import notes, progress, say

app = help.app()


@verb(
    app,
    examples=(
        "coarseparts evaluate runs/ants",
        "coarseparts evaluate runs/ants --split test --model posterior --json",
    ),
)
def evaluate(
    run: Run,
    data: Annotated[Path | None, DataOption(help="another dataset file [the one it was trained on]")] = None,
    split: Annotated[str, DataOption(help="train, val or test")] = "val",
    model: Annotated[str, DataOption(help="part (sees the image) or posterior (sees the coarse labels, too)")] = "part",
    labels: Annotated[
        str, DataOption(help="which of them the posterior is given: all, none, or e.g. box,mask")
    ] = "all",
    flip: Flip = None,
    as_json: Json = False,
    device: Device = "auto",
    skip_bad: SkipBad = False,
    max_pixels: MaxPixels = None,
) -> None:
    """Part IoU of a trained model on part-labelled images, and PCK of its keypoints, in percent."""
    options.one_of("--model", model, ("part", "posterior"))
    options.one_of("--split", split, ("train", "val", "test"))

    from coarseparts.evaluation.iou import to_json
    from coarseparts.inference.evaluate import evaluate as measure

    where, bar = options.device(device), progress("reading images")
    given = None if labels == "all" else [] if labels == "none" else labels.replace(",", "+").split("+")
    chosen: dict[str, Any] = {"split": split, "data": data, "model": model, "labels": given, "flip": flip}
    result = measure(run, **chosen, device=where, skip_bad=skip_bad, progress=bar)
    notes(result.problems)
    if as_json:
        print(to_json(result.measures()))
        return
    low, high = result.ci95
    say(f"{result.images} images, part mIoU {result.part_miou:.1f} % (95 % interval {low:.1f} to {high:.1f})")
    say(f"mIoU with background {result.miou:.1f} %")
    for name, value in result.iou.items():
        say(f"  {name:20s} {value:5.1f}")
    if points := result.pck:
        say(
            f"keypoints within 10 % of the object's size: {points['from_parts']:.1f} % found from the true parts, "
            f"{points['from_image']:.1f} % from the image ({points['points']} points)"
        )
