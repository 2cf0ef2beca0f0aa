"""Which drawn categories `coarseparts init` takes for objects, parts, or neither, however files are written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from coarseparts.data.check import check
from coarseparts.data.proposal.part_names import numbered
from coarseparts.data.proposal.propose import propose
from coarseparts.system.problems import BadInput

W, H = 60, 40
OUTLINES = {
    "ant": [10.0, 10, 44, 10, 50, 20, 44, 30, 10, 30],
    "head": [10.0, 10, 22, 10, 22, 29, 16, 30, 10, 30],
    "rump": [22.0, 10, 44, 10, 50, 20, 44, 30, 22, 30],
    "leaf": [1.0, 1, 6, 1, 7, 4, 3, 5],
}


def write(folder: Path, change: Callable[[dict[str, Any]], None], names: tuple[str, ...], count: int = 3) -> None:
    (folder / "photos").mkdir(parents=True)
    content: dict[str, Any] = {"images": [], "annotations": [], "categories": []}
    content["categories"] = [
        {"id": i, "name": name, "keypoints": ["eye", "sting"] * (name == "ant")} for i, name in enumerate(names)
    ]
    for i in range(count):
        pixels = np.random.default_rng(i).integers(0, 255, (H, W, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "photos" / f"{i}.png")
        content["images"].append({"id": i, "file_name": f"{i}.png", "width": W, "height": H})
        for j, name in enumerate(names):
            entry = {"id": 10 * i + j, "image_id": i, "category_id": j, "segmentation": [OUTLINES[name]]}
            content["annotations"].append(entry | ({"keypoints": [12, 20, 2, 48, 20, 2]} if name == "ant" else {}))
    change(content)
    (folder / "c.json").write_text(json.dumps(content))


def proposed(folder: Path, parts: tuple[str, ...] = ()) -> tuple[dict[str, Any], Any]:
    proposal = propose([folder], folder / "d.yaml", parts)
    proposal.write()
    return yaml.safe_load((folder / "d.yaml").read_text()), check(folder / "d.yaml")


def elsewhere(content: dict[str, Any]) -> None:
    for one in content["images"]:
        one["file_name"] = f"/home/anna/ants/{one['file_name']}"


def on_windows(content: dict[str, Any]) -> None:
    for one in content["images"]:
        one["file_name"] = f"D:\\ants\\{one['file_name']}"


def above(content: dict[str, Any]) -> None:
    for one in content["images"]:
        one["file_name"] = f"../../upload/{one['file_name']}"


def in_shares(content: dict[str, Any]) -> None:
    for one in content["annotations"]:
        one["segmentation"] = [[v / (W, H)[i % 2] for i, v in enumerate(one["segmentation"][0])]]
        if "keypoints" in one:
            one["keypoints"] = [v / (W, H, 1)[i % 3] for i, v in enumerate(one["keypoints"])]


@pytest.mark.parametrize("change", [elsewhere, on_windows, above, in_shares])
def test_the_object_is_no_part_whichever_way_names_and_coordinates_are_written(
    tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    write(tmp_path / "ants", change, ("ant", "head", "rump"))
    found, report = proposed(tmp_path / "ants")
    assert found["parts"] == ["head", "rump"] and report.errors == []
    assert {name: report.splits["train"][name] for name in ("samples", "parts", "mask", "keypoints")} == {
        "samples": 3,
        "parts": 3,
        "mask": 3,
        "keypoints": 3,
    }


def test_nor_is_it_where_the_file_states_a_smaller_image(tmp_path: Path) -> None:
    def smaller(content: dict[str, Any]) -> None:
        for one in content["images"]:
            one |= {"width": W // 2, "height": H // 2}

    write(tmp_path / "ants", smaller, ("ant", "head", "rump"))
    found, report = proposed(tmp_path / "ants")
    assert found["parts"] == ["head", "rump"] and "was made on 30x20 pixels" in report.errors[0].message


def test_photographs_of_few_grey_levels_are_known_by_the_labels_that_name_them(tmp_path: Path) -> None:
    write(tmp_path / "scans", on_windows, ("ant", "head", "rump"))
    for file in (tmp_path / "scans" / "photos").iterdir():  # as scanners save drawings
        Image.open(file).convert("1").save(file)
    found, report = proposed(tmp_path / "scans")
    assert found["sources"][0]["images"] == "photos" and report.splits["train"]["parts"] == 3


@pytest.mark.parametrize("parts", [(), ("head", "rump")])
def test_what_is_drawn_beside_the_objects_is_neither_part_nor_object(tmp_path: Path, parts: tuple[str, ...]) -> None:
    write(tmp_path / "ants", lambda content: None, ("ant", "head", "rump", "leaf"))
    found, report = proposed(tmp_path / "ants", parts)
    assert found["parts"] == ["head", "rump"] and found["sources"][0]["objects"] == ["ant"]
    assert report.errors == [] and report.splits["train"]["samples"] == report.splits["train"]["parts"] == 3
    assert any("are left out: leaf (3)" in problem.message for problem in report.problems)


def test_parts_that_the_user_does_not_name_are_no_objects(tmp_path: Path) -> None:
    write(tmp_path / "ants", lambda content: None, ("ant", "head", "rump"))
    found, report = proposed(tmp_path / "ants", ("rump",))
    assert found["parts"] == ["rump"] and found["sources"][0]["objects"] == ["ant"]
    assert report.splits["train"]["samples"] == 3 and report.errors == []


def test_a_category_of_few_images_is_looked_at_too(tmp_path: Path) -> None:
    def rarely(content: dict[str, Any]) -> None:
        few = [one for one in content["annotations"] if one["category_id"] == 0 and one["image_id"] > 50]
        rest = [one for one in content["annotations"] if one["category_id"] and one["image_id"] <= 50]
        heads = [one for one in content["annotations"] if one["category_id"] == 1 and one["image_id"] > 50]
        content["annotations"] = rest + few + heads

    write(tmp_path / "ants", rarely, ("ant", "head", "rump"), 54)
    assert proposed(tmp_path / "ants")[0]["parts"] == ["head", "rump"]


def test_boxes_that_are_written_as_outlines_are_no_parts(tmp_path: Path) -> None:
    def boxes(content: dict[str, Any]) -> None:
        for one in content["annotations"]:
            points = np.array(one["segmentation"][0]).reshape(-1, 2)
            (x0, y0), (x1, y1) = points.min(0).tolist(), points.max(0).tolist()
            one["bbox"] = [x0, y0, x1 - x0, y1 - y0]
            if one["category_id"] == 0:
                one["segmentation"] = [[x0, y0, x1, y0, x1, y1, x0, y1]]

    write(tmp_path / "ants", boxes, ("ant", "head", "rump"), 6)
    found, report = proposed(tmp_path / "ants")
    assert found["parts"] == ["head", "rump"]
    assert report.splits["train"]["mask"] == 0 and report.splits["train"]["box"] == 5
    with pytest.raises(BadInput, match="is there and would be written over"):
        propose([tmp_path / "ants"], tmp_path / "ants" / "d.yaml")


def test_a_second_label_of_regions_of_several_parts_is_neither_part_nor_object(tmp_path):
    def second(content: dict[str, Any]) -> None:
        drawn = [entry for entry in content["annotations"] if entry["category_id"] < 2]
        content["categories"].append({"id": 7, "name": "dorsal"})
        content["annotations"] += [entry | {"id": 1000 + entry["id"], "category_id": 7} for entry in drawn]

    write(tmp_path, second, ("head", "rump"))
    found, report = proposed(tmp_path)
    assert found["parts"] == ["head", "rump"] and not report.errors
    assert {tuple(source["objects"]) for source in found["sources"]} == {()}
    assert report.splits["train"]["samples"] == 3 and not report.splits["train"]["mask"]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["head_1", "rump_1", "head_2", "rump_2"], ["head_1", "head_2"]),
        (["head1", "head2", "rump1", "rump2"], ["head1", "head2"]),
        (["leg_1", "leg_2", "leg_3"], []),
        (["leg_1", "leg_2", "wing_1"], []),
        (["leg_1", "leg_2", "wing_1", "wing_2", "head"], []),
        (["part 1", "part 2"], []),
    ],
)
def test_parts_of_animals_that_are_numbered(names, found):
    assert numbered(names) == found
