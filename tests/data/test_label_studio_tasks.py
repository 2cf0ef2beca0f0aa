"""Label Studio's pre-annotations: what is written is read again, here and by Label Studio's own library."""

import json

import numpy as np
import pytest
from documents import documents, objects_of, rle
from hypothesis import HealthCheck, given, settings
from judges import asked

from coarseparts.data.formats import label_studio, label_studio_rle
from coarseparts.data.formats.document import Document
from coarseparts.data.formats.drawing import draw
from coarseparts.system.problems import BadInput, errors


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(documents())
def test_what_is_written_is_read_again(tmp_path, document):
    label_studio.write(document, tmp_path / "tasks.json")
    assert label_studio.recognises(tmp_path / "tasks.json")
    again = label_studio.read(tmp_path / "tasks.json")
    assert errors(again.problems) == []
    assert objects_of(again) == objects_of(document)


def test_nothing_is_written_where_a_size_is_not_known(tmp_path):
    document = Document(
        images=[{"id": 1, "file_name": "a.jpg", "width": None, "height": None}],
        categories=[{"id": 1, "name": "ant"}],
        annotations=[{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}],
    )
    with pytest.raises(BadInput, match=r"a\.jpg: its size is not known"):
        label_studio.write(document, tmp_path / "tasks.json")
    assert list(tmp_path.iterdir()) == []


def example() -> Document:
    mask = np.zeros((30, 40), bool)
    mask[3:20, 5:31] = True
    mask[8:10, 9:12] = False
    return Document(
        images=[{"id": 1, "file_name": "a <b>.jpg", "width": 40, "height": 30}],
        categories=[{"id": 1, "name": 'ant "<&>', "keypoints": ["head", "tail"]}, {"id": 2, "name": "head"}],
        annotations=[
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 3, 26, 17], "group": "1", "score": 0.75}
            | {"keypoints": [7, 4, 2, 30, 19, 1], "segmentation": rle(mask)},
            {"id": 2, "image_id": 1, "category_id": 2, "segmentation": [[5, 3, 9, 3, 9, 8]], "group": "1"},
        ],
    )


def test_label_studio_itself_finds_nothing_wrong_with_what_is_written(tmp_path):
    label_studio.write(example(), tmp_path / "tasks.json")
    script = """
import json, sys
from label_studio_sdk.label_interface import LabelInterface
from label_studio_sdk.converter.brush import decode_rle
tasks = json.load(open(sys.argv[1]))
interface = LabelInterface(open(sys.argv[2]).read())
given = [prediction for task in tasks for prediction in task["predictions"]]
wrong = [text for each in given for text in interface.validate_prediction(each, return_errors=True)]
(rle,) = [r["value"]["rle"] for r in tasks[0]["predictions"][0]["result"] if r["type"] == "brushlabels"]
print(json.dumps([wrong, decode_rle(rle).reshape(30, 40, 4)[..., 3].tolist()]))
"""
    wrong, alpha = asked("label_studio_sdk", script, tmp_path / "tasks.json", tmp_path / "tasks.xml")
    assert wrong == []
    np.testing.assert_array_equal(np.array(alpha) > 0, draw(example().annotations[0]["segmentation"], (40, 30)))


def test_brush_masks_that_label_studio_writes_are_read():
    script = """
import json, numpy as np
from label_studio_sdk.converter import brush
mask = np.random.default_rng(0).random((33, 57)) < 0.7
rgba = np.random.default_rng(1).integers(0, 255, (33, 57, 4))
rgba[..., 3] = 255 * mask
print(json.dumps([mask.tolist(), brush.mask2rle((255 * mask).astype(np.uint8)), brush.encode_rle(rgba.ravel())]))
"""
    mask, *codes = asked("label_studio_sdk", script)
    for code in codes:
        np.testing.assert_array_equal(label_studio_rle.decode(code, (57, 33)), mask)


def test_json_min_as_label_studio_writes_it_is_read(tmp_path):
    document = example()
    label_studio.write(document, tmp_path / "tasks.json")
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    for number, task in enumerate(tasks, 1):
        task |= {"id": number, "annotations": [{"id": number, **task.pop("predictions")[0]}]}
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    script = """
import sys
from label_studio_sdk.converter import Converter
converter = Converter(open(sys.argv[2]).read(), project_dir=None, download_resources=False)
converter.convert_to_json_min(sys.argv[1], sys.argv[3], is_dir=False)
print("{}")
"""
    asked("label_studio_sdk", script, tmp_path / "tasks.json", tmp_path / "tasks.xml", tmp_path / "out")
    assert label_studio.recognises(tmp_path / "out/result.json")
    found = label_studio.read(tmp_path / "out/result.json")
    assert errors(found.problems) == []
    assert figures_and_keypoints(found) == figures_and_keypoints(document)


def figures_and_keypoints(document: Document) -> tuple[list, list]:
    """Those of the image, whichever object they are of; JSON-MIN does not say which keypoints are hidden."""
    objects = objects_of(document)["a <b>.jpg"]
    figures = sorted(figure for own, _ in objects for figure in own)
    return figures, sorted((name, *point[:2]) for _, points in objects for name, point in points)


@pytest.mark.parametrize("size", [(60, 40), (300, 200)])  # its boxes are as wide in percent as the image is in pixels
def test_what_sleap_io_writes_for_label_studio_is_read(tmp_path, size):
    script = """
import sys, numpy as np, sleap_io as sio
from PIL import Image
names = []
for i in range(2):
    names.append(f"{sys.argv[1]}/{i}.png")
    Image.new("RGB", (int(sys.argv[2]), int(sys.argv[3]))).save(names[-1])
skeleton = sio.Skeleton(["head", "tail"])
points = np.array([[[1.5, 2], [3, 4]], [[21, 22], [np.nan, np.nan]]])
ants = [sio.Instance.from_numpy(each, skeleton=skeleton) for each in points]
video = sio.Video.from_filename(names)
sio.save_labelstudio(sio.Labels([sio.LabeledFrame(video=video, frame_idx=0, instances=ants)]), sys.argv[1] + "/a.json")
print("{}")
"""
    asked("sleap_io", script, tmp_path, *size)
    whole = json.loads((tmp_path / "a.json").read_text())
    whole[0]["data"]["image"] = "0.png"  # which it leaves to its user
    (tmp_path / "a.json").write_text(json.dumps(whole))
    found = label_studio.read(tmp_path / "a.json")
    both = sorted(points for _, points in objects_of(found)["0.png"])
    assert both == [[("head", (1.5, 2, 2)), ("tail", (3, 4, 2))], [("head", (21, 22, 2))]]
