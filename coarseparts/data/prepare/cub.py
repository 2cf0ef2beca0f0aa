"""CUB-200-2011 alone: its keypoints and boxes as COCO, its figure-ground masks and photographs where they lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from coarseparts.data.prepare.archives import folder_of, segmentations_of
from coarseparts.data.prepare.coarse import of_birds, photographs, write_list, yaml_text
from coarseparts.data.prepare.cub_lookup import look_at_cub
from coarseparts.data.prepare.output import Output, Progress
from coarseparts.system.problems import BadInput, Problem, errors


def prepare_cub(
    archive: Path, out: Path, segmentations: Path | None = None, progress: Progress | None = None
) -> tuple[bool, list[Problem]]:
    """``out``/cub.yaml with cub.json (keypoints and boxes) and lists/ of the official training and test images, from
    the unpacked archive, once every header of its images and masks has been read.

    ``segmentations``: folder of the figure-ground masks, looked for in ``archive`` and beside it if not given; they are
    soft, grey = share of the annotators who said "bird". A keypoint that is not visible is absent. Returns whether
    anything was written that was not there before, and what was repaired or is worth knowing. Raises BadInput with
    everything that is wrong; then there is no dataset file.
    """
    problems: list[Problem] = []
    archive = folder_of("cub", archive, problems)
    masks = segmentations_of(archive, segmentations, problems)
    if problems:
        raise BadInput(problems)
    with Output(out, "cub.yaml", progress) as output:
        cub = look_at_cub(output, archive, masks)
        source: dict[str, Any] = {"images": photographs(archive), "coco": "cub.json"}
        if masks is not None:
            source["masks"] = str(masks.absolute())
        if not errors(output.problems):
            output.write("cub.json", cub.coco())
        splits = {"train": cub.train, "test": cub.test}
        sources = [{"split": split} | source | write_list(output, split, names) for split, names in splits.items()]
        changed = output.finish(
            yaml_text("CUB-200-2011: no part masks", "cub", of_birds(cub.keypoints) | {"sources": sources})
        )
        return changed, [p for p in output.problems if p.severity != "error"]
