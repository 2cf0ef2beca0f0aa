"""SLEAP's projects: what people labelled, with the masks and boxes of each animal; needs sleap-io, or says so."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from documents import objects_of, rle
from PIL import Image

from coarseparts.data.formats import sleap
from coarseparts.data.formats.drawing import draw
from coarseparts.data.proposal.propose import propose
from coarseparts.system.lazy import Lazy
from coarseparts.system.problems import BadInput, errors

SIGNATURE = b"\x89HDF\r\n\x1a\n"


def test_a_project_is_recognised_from_its_name_and_first_bytes(tmp_path):
    for name, content, is_one in (("a.slp", SIGNATURE, True), ("a.h5", SIGNATURE, False), ("b.slp", b"{}", False)):
        (tmp_path / name).write_bytes(content)
        assert sleap.recognises(tmp_path / name) is is_one
    assert not sleap.recognises(tmp_path) and not sleap.recognises(tmp_path / "absent.slp")


def test_without_sleap_io_the_command_that_installs_it_is_told(tmp_path, monkeypatch):
    (tmp_path / "a.slp").write_bytes(SIGNATURE)
    for module in ("h5py", "sleap_io"):
        monkeypatch.setitem(sys.modules, module, None)
        monkeypatch.setattr(sleap, module, Lazy(module))
    with pytest.raises(BadInput, match=r"pip install 'coarseparts\[formats\]'"):
        sleap.read(tmp_path / "a.slp")


@pytest.fixture
def sio(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return pytest.importorskip("sleap_io", reason="sleap-io is not installed: nothing to write projects with")


def skeleton(sio):
    return sio.Skeleton(["head", "left", "right"], symmetries=[("left", "right")], name="ant")


def instance(sio, own, *points, kind="Instance", **more):
    return getattr(sio, kind).from_numpy(np.array(points, float), skeleton=own, **more)


def read(sio, tmp_path, frames, name="a.slp"):
    sio.Labels(frames).save(str(tmp_path / name))
    for image in tmp_path.rglob("*.png"):
        image.unlink()
    assert sleap.recognises(tmp_path / name)
    return sleap.read(tmp_path / name)


def images(sio, *names):
    """A video of image files of 60 x 40 pixels, which are there only while it is made."""
    names = names or ("deep/0.png", "deep/1.png")
    for name in map(Path, names):
        name.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (60, 40)).save(name)
    video = sio.Video.from_filename(list(names))
    assert video.shape[1:3] == (40, 60)
    return video


NOWHERE = (np.nan, np.nan)


def test_animals_become_objects(sio, tmp_path):
    own = skeleton(sio)
    both = [instance(sio, own, (1.5, 2), (3, 4), (5, 6)), instance(sio, own, (11, 12), NOWHERE, (15, 16))]
    both[1].points["visible"][2] = False
    frame = sio.LabeledFrame(video=images(sio), frame_idx=1, instances=both)
    found = read(sio, tmp_path, [frame])
    assert objects_of(found) == {
        "deep/1.png": [
            ([], [("head", (1.5, 2, 2)), ("left", (3, 4, 2)), ("right", (5, 6, 2))]),
            ([], [("head", (11, 12, 2))]),
        ]
    }
    assert found.mirror == [("left", "right")]
    assert found.categories == [{"id": 1, "name": "ant", "keypoints": ["head", "left", "right"]}]
    assert ["not visible" in str(problem) for problem in found.problems] == [True]


def test_masks_and_boxes_are_of_the_animal_that_they_name(sio, tmp_path):
    from shapely.geometry import Polygon

    own = skeleton(sio)
    one, other = instance(sio, own, (1, 2), (3, 4), (5, 6)), instance(sio, own, (11, 12), NOWHERE, NOWHERE)
    mask = np.zeros((40, 60), bool)
    mask[3:9, 4:20] = True
    holed = Polygon([(0, 0), (30, 0), (30, 30), (0, 30)], [[(10, 10), (20, 10), (20, 20), (10, 20)]])
    frame = sio.LabeledFrame(
        video=images(sio),
        frame_idx=0,
        instances=[one, other],
        masks=[
            sio.UserSegmentationMask.from_numpy(mask, category="ant", instance=other),
            sio.UserSegmentationMask.from_numpy(mask[:20, :30], category="half", scale=(0.5, 0.5), offset=(2, 4)),
        ],
        bboxes=[sio.UserBoundingBox(x1=1, y1=2, x2=9, y2=8, category="ant", instance=one)],
        rois=[sio.UserROI(geometry=holed, category="holed")],
    )
    found = read(sio, tmp_path, [frame])
    assert errors(found.problems) == []
    assert (found.images[0]["width"], found.images[0]["height"]) == (60, 40)
    objects = objects_of(found)["deep/0.png"]
    assert [([figure[:2] for figure in figures], [name for name, _ in points]) for figures, points in objects] == [
        ([("ant", "box")], ["head", "left", "right"]),
        ([("ant", "mask")], ["head"]),
        ([("half", "mask")], []),
        ([("holed", "polygons")], []),
    ]
    assert objects[0][0][0][2] == (1, 2, 8, 6) and objects[1][0][0][2] == (((40, 60)), rle(mask)["counts"])
    half = np.zeros((40, 60), bool)
    half[4 + 6 : 4 + 18, 2 + 8 : 2 + 40] = True
    assert objects[2][0][0][2][1] == rle(half)["counts"]
    polygon = next(entry["segmentation"] for entry in found.annotations if isinstance(entry.get("segmentation"), list))
    assert draw(polygon, (60, 40)).sum() == 30 * 30 - 10 * 10


def test_predictions_are_passed_over_where_somebody_labelled(sio, tmp_path):
    own = skeleton(sio)
    guess = instance(sio, own, (1, 2), (3, 4), (5, 6), kind="PredictedInstance")
    frames = [sio.LabeledFrame(video=(video := images(sio)), frame_idx=0, instances=[guess])]
    found = read(sio, tmp_path, frames)
    assert len(found.annotations) == 1 and "predictions are used" in str(found.problems[0])
    mine = instance(sio, own, (7, 8), NOWHERE, NOWHERE)
    found = read(sio, tmp_path, [*frames, sio.LabeledFrame(video=video, frame_idx=1, instances=[mine])])
    assert objects_of(found) == {"deep/0.png": [], "deep/1.png": [([], [("head", (7, 8, 2))])]}
    assert "1 predictions are passed over" in str(found.problems[0])


def test_a_package_with_its_images_says_the_same(sio, tmp_path):
    own = skeleton(sio)
    mine = instance(sio, own, (1.5, 2), (3, 4), NOWHERE)
    frame = sio.LabeledFrame(video=images(sio), frame_idx=1, instances=[mine])
    sio.Labels([frame]).save(str(tmp_path / "a.pkg.slp"), embed="user")
    found = sleap.read(tmp_path / "a.pkg.slp")
    assert objects_of(found) == {"deep/1.png": [([], [("head", (1.5, 2, 2)), ("left", (3, 4, 2))])]}


def test_frames_of_a_film_are_named_after_it(sio, tmp_path):
    video = sio.Video(filename="C:\\films\\nest 1.mp4", open_backend=False)
    frame = sio.LabeledFrame(
        video=video, frame_idx=12, instances=[instance(sio, skeleton(sio), (1, 2), (3, 4), (5, 6))]
    )
    found = read(sio, tmp_path, [frame])
    assert [entry["file_name"] for entry in found.images] == ["nest 1_frame_000012.png"]
    assert "of films" in str(found.problems[0])


def test_images_of_another_machine_keep_their_name_alone(sio, tmp_path):
    frame = sio.LabeledFrame(
        video=images(sio, str(tmp_path / "a/0.png"), str(tmp_path / "b/1.png")),
        frame_idx=1,
        instances=[instance(sio, skeleton(sio), (1, 2), (3, 4), (5, 6))],
    )
    assert [entry["file_name"] for entry in read(sio, tmp_path, [frame]).images] == ["1.png"]


@pytest.mark.parametrize("cut", [9, 500, 3000])
def test_a_damaged_project_is_refused(sio, tmp_path, cut):
    frame = sio.LabeledFrame(
        video=images(sio), frame_idx=0, instances=[instance(sio, skeleton(sio), (1, 2), (3, 4), (5, 6))]
    )
    sio.Labels([frame]).save(str(tmp_path / "a.slp"))
    (tmp_path / "a.slp").write_bytes((tmp_path / "a.slp").read_bytes()[:cut])
    with pytest.raises(BadInput, match=r"a\.slp"):
        sleap.read(tmp_path / "a.slp")


def test_a_project_that_leads_to_other_files_is_refused(sio, tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["frames"] = np.arange(3)
    with h5py.File(tmp_path / "a.slp", "w") as file:
        file["frames"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "frames")
    with pytest.raises(BadInput, match="is a link"):
        sleap.read(tmp_path / "a.slp")
    with h5py.File(tmp_path / "b.slp", "w") as file:
        file.create_dataset("frames", (4,), "u1", external=[(str(tmp_path / "other.h5"), 0, 4)])
    with pytest.raises(BadInput, match="in another file"):
        sleap.read(tmp_path / "b.slp")
    with h5py.File(tmp_path / "c.slp", "w") as file:
        file.create_dataset("frames", (2**33,), "u1", chunks=True)
    with pytest.raises(BadInput, match="holds more than"):
        sleap.read(tmp_path / "c.slp")


@pytest.mark.parametrize("name", [None, 7, ["head"]])
def test_names_that_are_no_texts_are_damage(sio, tmp_path, name):
    frame = sio.LabeledFrame(video=images(sio), frame_idx=0, instances=[instance(sio, skeleton(sio), *[(1, 2)] * 3)])
    sio.Labels([frame]).save(str(tmp_path / "a.slp"))
    import h5py

    with h5py.File(tmp_path / "a.slp", "r+") as file:
        tree = json.loads(file["metadata"].attrs["json"])
        tree["nodes"][0]["name"] = name
        file["metadata"].attrs["json"] = np.bytes_(json.dumps(tree))
    with pytest.raises(BadInput, match="is damaged"):
        sleap.read(tmp_path / "a.slp")


def test_photographs_that_a_project_holds_are_written_out_where_they_are_not_there(sio, tmp_path):
    own, colours = skeleton(sio), [(200, 10, 20), (10, 200, 20), (10, 20, 200)]
    film = images(sio, *(f"frames/{i}.png" for i in range(3)))
    for i, colour in enumerate(colours):
        pixels = np.random.default_rng(i).integers(0, 255, (40, 60, 3), np.uint8)
        pixels[5, 5] = colour
        Image.fromarray(pixels).save(f"frames/{i}.png")
    frames = [sio.LabeledFrame(film, i, [instance(sio, own, (1, 2), (3, 4), (5, 6))]) for i in (0, 2)]
    sio.Labels(frames).save("ants.pkg.slp", embed="user")
    path = tmp_path / "ants.pkg.slp"
    assert list(sleap.photographs_in(path)) == []
    for file in Path("frames").iterdir():
        file.unlink()
    found = dict(sleap.photographs_in(path))
    assert list(found) == [image["file_name"] for image in sleap.read(path).images] == ["frames/0.png", "frames/2.png"]
    for number, data in zip((0, 2), found.values(), strict=True):
        assert Image.open(io.BytesIO(data)).getpixel((5, 5)) == colours[number]
    masks = tmp_path / "masks"
    masks.mkdir()
    for i in (0, 2):
        Image.fromarray(np.eye(40, 60, dtype=np.uint8)).save(masks / f"{i}.png")
    proposal = propose([path, masks], tmp_path / "d.yaml", ("head",))
    assert proposal.keys["sources"][0]["images"] == "ants.pkg-photographs/frames"
    assert proposal.keys["sources"][0]["labels"] == "ants.pkg.slp"
