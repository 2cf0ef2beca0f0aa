"""Label Studio's tables, and tasks with several annotations or drafts."""

import csv
import json

import pytest
from test_label_studio import box, read, said, task

from coarseparts.data.formats.registry import read_export
from coarseparts.system.problems import BadInput


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
@pytest.mark.parametrize("names", ["image,id,points,outlines,annotator,annotation_id", None])
def test_tables(tmp_path, suffix, names):
    values = {"original_width": 200, "original_height": 100}
    outlines = [{"points": [[0, 0], [10, 0], [10, 20]], "polygonlabels": ["head"], "closed": True} | values]
    point = {"x": 50, "y": 20, "width": 0.5, "note": "x" * 300} | values  # more than csv's own limit of a cell
    points = [point | {"keypointlabels": [f"eye {i}"]} for i in range(900)]
    row = {"annotation_id": 4, "annotator": 1, "id": 7, "image": "/data/upload/7/0a1b2c3d-ant.jpg"}
    row |= {"points": json.dumps(points), "outlines": json.dumps(outlines), "lead_time": 1.5}
    order = names.split(",") if names else sorted(row)
    with open(tmp_path / f"result{suffix}", "w", newline="") as file:
        table = csv.writer(file, delimiter="," if suffix == ".csv" else "\t")
        table.writerows([order, [row[name] for name in order]])
    found = read_export(tmp_path / f"result{suffix}")
    assert found.format == "Label Studio" and found.images[0]["file_name"] == "0a1b2c3d-ant.jpg"
    drawn = next(entry for entry in found.annotations if "segmentation" in entry)
    assert drawn["segmentation"] == [pytest.approx([0, 0, 20, 0, 20, 20])]
    assert sum(bool(n) for entry in found.annotations for n in entry.get("keypoints", ())[2::3]) == 900
    (tmp_path / f"result{suffix}").write_text('annotation_id,annotator,image,x\n1,1,a.png,"[{broken"\n')
    with pytest.raises(BadInput, match="row 2, x: is no JSON"):
        read_export(tmp_path / f"result{suffix}")


def test_of_several_annotations_the_ground_truth_or_the_last_with_regions_counts(tmp_path):
    def of(*labels: str | None, truth: int = -1) -> list[str]:
        annotations = [
            {"id": i, "created_at": f"2024-01-0{i + 1}", "ground_truth": i == truth}
            | {"result": [box("b", label, 10, 20, 30, 40)] if label else []}
            for i, label in enumerate(labels)
        ]
        found = read(tmp_path, task() | {"annotations": annotations})
        assert "several annotations: the last one that is marked as ground truth, else the last with" in said(found)
        return [entry["name"] for entry in found.categories]

    assert of("first", "last") == ["last"]
    assert of("first", "last", truth=0) == ["first"]
    assert of("first", None) == ["first"] and of("first", None, truth=1) == ["first"]


def test_drafts_that_nobody_submitted_are_told(tmp_path):
    draft = {"annotations": [], "drafts": [{"result": [box("b", "ant", 10, 20, 30, 40)]}]}
    found = read(tmp_path, task() | draft, task(box("b", "ant", 10, 20, 30, 40), image="b.jpg"))
    assert "1 tasks have drafts alone" in said(found) and len(found.annotations) == 1
