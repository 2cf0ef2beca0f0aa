"""Label Studio's tables, and tasks with several annotations or drafts."""

import base64
import csv
import json

import pytest
from test_label_studio import box, read, said, task
from test_proposal import SIZE, photographs

from coarseparts.data.formats.registry import read_export
from coarseparts.data.proposal.propose import propose
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


def bare(key: str, x: float, said_by: str = "", *words: str) -> list[dict]:
    """A keypoint without a label, and what a control for each region says of it."""
    own = {"id": key, "type": "keypoint", "original_width": 200, "original_height": 100, "to_name": "image"}
    value = {"x": x, "y": 20, "width": 0.5}
    return [own | {"value": value}, *(own | {"type": said_by, "value": value | {said_by: [word]}} for word in words)]


def test_regions_without_a_label_are_called_as_their_choice_or_text_says(tmp_path):
    named = [*bare("a", 10, "choices", "eye", "Occluded"), *bare("b", 30, "text", "tail")]
    found = read(tmp_path, task(*named, *bare("c", 50), *bare("d", 60, "choices", "x", "y")))
    (points,) = found.annotations
    assert found.categories[0]["keypoints"] == ["eye", "tail"] and points["keypoints"] == [20, 20, 1, 60, 20, 2]
    assert "2 regions have no label: they are called as" in said(found)
    assert "2 keypoints have no label: passed over; give each a label" in said(found)


def annotated(*people: tuple[int, str], image: str = "a.jpg") -> dict:
    """A task of which several people drew a label each."""
    drawn = [(who, [box(f"{image}{who}", label, 10 * who, 20, 10, 40)]) for who, label in people]
    annotations = [{"id": who, "completed_by": who, "result": result} for who, result in drawn]
    return task(image=image) | {"annotations": annotations}


def test_annotations_of_people_who_drew_other_labels_each_are_all_used(tmp_path):
    names = ("a.jpg", "b.jpg")
    found = read(tmp_path, *(annotated((1, "head"), (2, "rump"), image=name) for name in names))
    assert len(found.annotations) == 4 and "2 tasks have several annotations, of other labels each" in said(found)
    found = read(tmp_path, annotated((1, "head"), (2, "rump")), annotated((1, "head"), (2, "head"), image="b.jpg"))
    assert len(found.annotations) == 2 and "2 tasks have several annotations: the last one" in said(found)
    assert len(read(tmp_path, annotated((1, "head"), (2, "rump"))).annotations) == 1


def test_rows_of_one_task_are_its_annotations(tmp_path):
    drawn = {"x": 10, "y": 20, "width": 30, "height": 40, "original_width": 200, "original_height": 100}
    rows = [
        {"image": f"{i}.jpg", "id": i, "annotator": who, "annotation_id": 9 * i + who, "created_at": f"2024-0{who}"}
        | {"boxes": [drawn | {"rectanglelabels": [label]}]}
        for i in (1, 2)
        for who, label in ((1, "head"), (2, "rump"))
    ]
    (tmp_path / "min.json").write_text(json.dumps(rows))
    found = read_export(tmp_path / "min.json")
    assert len(found.images) == 2 and [one["name"] for one in found.categories] == ["head", "rump"]
    for row in rows:
        row["boxes"][0]["rectanglelabels"] = [f"by {row['annotator']}", "head"]
    (tmp_path / "min.json").write_text(json.dumps(rows))
    found = read_export(tmp_path / "min.json")
    assert [one["name"] for one in found.categories] == ["by 2", "head"] and len(found.annotations) == 4


@pytest.mark.parametrize(
    "url",
    [
        "/tasks/12/resolve/?fileuri=" + base64.b64encode(b"s3://bucket/ants/ant.jpg").decode(),
        "/tasks/12/presign/?fileuri=" + base64.b64encode(b"gs://bucket/ant.jpg").decode(),
        "/storage-data/uploaded/?filepath=upload/12/ant.jpg",
        "https://host/get?file=ant.jpg&size=2",
    ],
)
def test_addresses_that_name_the_image_in_their_query(tmp_path, url):
    assert read(tmp_path, task(box("b", "ant", 1, 2, 3, 4), image=url)).images[0]["file_name"] == "ant.jpg"
    assert "names no image file" in said(read(tmp_path, task(image="/tasks/1/resolve/?fileuri=a")))


def test_a_storage_s_files_without_a_suffix(tmp_path):
    photographs(tmp_path / "photos")
    (tmp_path / "target").mkdir()
    outline = {"points": [[0, 0], [50, 0], [50, 90]], "polygonlabels": ["head"]}
    region = {"id": "p", "type": "polygonlabels", "original_width": SIZE[0], "original_height": SIZE[1]}
    for i in range(1, 7):
        one = {"id": i, "result": [region | {"value": outline}], "task": {"id": i, "data": {"image": f"{i}.png"}}}
        (tmp_path / "target" / f"{i}").write_text(json.dumps(one))
    keys = propose([tmp_path / "photos", tmp_path / "target"], tmp_path / "d.yaml", ("head",)).keys
    assert keys["parts"] == ["head"] and keys["sources"][0]["labels"] == "target"
