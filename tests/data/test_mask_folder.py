"""Figure-ground masks as a folder of images: what is an object in them, and whose they are."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coarseparts.data.build import build_store
from coarseparts.data.dataset_file import load_dataset_file
from coarseparts.data.formats.mask_folder import find_maps, read_mask
from coarseparts.data.records import read_contents, read_dataset
from coarseparts.system.problems import BadInput, errors

W, H = 20, 16


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photographs a and b with a mask each, and a dataset file of them."""
    for i, name in enumerate("ab"):
        pixels = np.random.default_rng(i).integers(0, 256, (H, W, 3)).astype(np.uint8)
        save(tmp_path / f"images/sub/{name}.jpg", pixels)
        save(tmp_path / f"grey/sub/{name}.png", figure(51 + i))
    (tmp_path / "d.yaml").write_text("parts: [p]\nsize: 16\nsources: [{split: train, images: images, masks: grey}]")
    return tmp_path


def save(path: Path, values: np.ndarray, mode: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(values)
    picture.convert(mode).save(path) if mode else picture.save(path)


def figure(edge: int = 51, inside: int = 255) -> np.ndarray:
    values = np.zeros((H, W), np.uint8)
    values[4:10, 4:12], values[4:10, 12:14] = inside, edge
    return values


def with_coco(folder: Path, *annotations: dict) -> Path:
    """The dataset file with a COCO file of annotations of a.jpg."""
    images = [{"id": 1, "file_name": "sub/a.jpg", "width": W, "height": H}]
    entries = [{"id": i, "image_id": 1, "category_id": 1} | each for i, each in enumerate(annotations, 1)]
    content = {"images": images, "annotations": entries, "categories": [{"id": 1, "name": "ant"}]}
    (folder / "c.json").write_text(json.dumps(content))
    text = (folder / "d.yaml").read_text()
    (folder / "d.yaml").write_text(text.replace("masks: grey", "masks: grey, coco: c.json"))
    return folder / "d.yaml"


def test_soft_masks_stay_soft(tmp_path):
    values = np.array([[0, 51, 102], [153, 204, 255]], np.uint8)
    Image.fromarray(values).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png", (3, 2)), values)
    with pytest.raises(BadInput, match="is 3x2 pixels, its image is 2x3"):
        read_mask(tmp_path / "a.png", (2, 3))
    Image.fromarray(values * 0).save(tmp_path / "b.png")
    with pytest.raises(BadInput, match="empty"):
        read_mask(tmp_path / "b.png", (3, 2))
    Image.fromarray(np.stack([values, values, values // 2], 2)).save(tmp_path / "c.png")
    with pytest.raises(BadInput, match="mode RGB"):
        read_mask(tmp_path / "c.png", (3, 2))


def test_what_is_not_0_is_the_object_where_there_are_no_shares(tmp_path):
    there = np.array([[0, 1, 1], [0, 0, 1]], np.uint8)
    save(tmp_path / "ones.png", there)
    save(tmp_path / "white.png", there * 255)
    save(tmp_path / "bits.png", there * 255, "1")
    palette = Image.fromarray(there * 2, "P")
    palette.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])  # as PASCAL VOC's: dark colours
    palette.save(tmp_path / "coloured.png")
    grey = Image.fromarray(there, "P")
    grey.putpalette([0, 0, 0, 255, 255, 255])
    grey.save(tmp_path / "grey palette.png")
    for path in tmp_path.iterdir():
        np.testing.assert_array_equal(read_mask(path, (3, 2)), there * 255, err_msg=path.name)


def test_masks_alone_are_labels(folder):
    records, problems, _ = read_dataset(load_dataset_file(folder / "d.yaml"))
    assert errors(problems) == [] and [(r.name, set(r.has)) for r in records] == [
        ("sub/a", {"mask"}),
        ("sub/b", {"mask"}),
    ]
    for i, record in enumerate(records):
        sample, told = record.load()
        np.testing.assert_array_equal(sample.labels["mask"], figure(51 + i))
        assert told == []
        np.testing.assert_allclose(sample.crop, [3.2, 3.4, 12.8, 10.6], rtol=1e-6)
    store, _ = build_store(load_dataset_file(folder / "d.yaml"), folder / "cache")
    assert store.present["mask"].all()


def test_a_mask_goes_with_the_other_labels_of_its_object(folder):
    (record, other), problems, _ = read_dataset(load_dataset_file(with_coco(folder, {"bbox": [4, 4, 10, 6]})))
    assert problems == [] and record.has == {"mask", "box"} and other.has == {"mask"}
    np.testing.assert_array_equal(record.load()[0].labels["mask"], figure())


def test_a_mask_in_the_folder_goes_before_one_in_the_coco_file(folder):
    square = {"segmentation": [[1, 1, 5, 1, 5, 5, 1, 5]]}
    records, problems, _ = read_dataset(load_dataset_file(with_coco(folder, square)))
    np.testing.assert_array_equal(records[0].load()[0].labels["mask"], figure())
    (note,) = problems
    assert note.severity == "note" and "1 images have a mask here and one in" in note.message
    assert note.file == str(folder / "grey") and note.message.endswith("c.json; that of this folder is used: sub/a.jpg")


def test_the_mask_of_several_objects_is_nobody_s(folder):
    two = {"bbox": [1, 1, 4, 4], "segmentation": [[1, 1, 5, 1, 5, 5, 1, 5]]}, {"bbox": [8, 8, 4, 4]}
    records, problems, _ = read_dataset(load_dataset_file(with_coco(folder, *two)))
    assert [(r.name, set(r.has)) for r in records] == [
        ("sub/a-1", {"mask", "box"}),
        ("sub/a-2", {"box"}),
        ("sub/b", {"mask"}),
    ]
    assert records[0].load()[0].labels["mask"].sum() == 255 * 16, "its own"
    (note,) = problems
    assert note.severity == "note" and "1 images show several objects" in note.message and "sub/a.jpg" in note.message


def test_a_photograph_whose_background_was_cut_away_is_a_mask(tmp_path):
    photo = np.random.default_rng(1).integers(0, 256, (H, W, 4)).astype(np.uint8)
    photo[..., 3] = figure(120)
    save(tmp_path / "a.png", photo)
    assert np.array_equal(read_mask(tmp_path / "a.png", (W, H)), figure(120))
    photo[..., 3] = 255
    save(tmp_path / "b.png", photo)
    with pytest.raises(BadInput, match="is of mode RGBA, expected grey-scale"):
        read_mask(tmp_path / "b.png", (W, H))
    save(tmp_path / "c.png", np.dstack([figure()] * 3 + [photo[..., 3]]))
    assert np.array_equal(read_mask(tmp_path / "c.png", (W, H)), figure())


def test_numbers_of_objects_or_parts_are_the_object(tmp_path):
    numbered = figure(2, 1)
    numbered[12, 3] = 3
    save(tmp_path / "a.png", numbered)
    assert np.array_equal(read_mask(tmp_path / "a.png", (W, H)), np.where(numbered, 255, 0))


def test_a_mask_that_is_nowhere_sure_is_told(folder):
    save(folder / "grey/sub/a.png", figure(0, 38))
    sample, (note,) = read_dataset(load_dataset_file(folder / "d.yaml"))[0][0].load()
    assert sample.labels["mask"].max() == 38 and sample.crop is None
    assert note.severity == "note" and note.file.endswith("a.png") and "brightest grey is 38 of 255" in note.message


def test_masks_and_images_that_lack_each_other(folder):
    (folder / "images/sub/b.jpg").rename(folder / "images/sub/bee.jpg")
    (folder / "grey/sub/b.png").rename(folder / "grey/sub/bee_mask.png")
    save(folder / "images/c.jpg", np.zeros((H, W, 3), np.uint8))
    contents = read_contents(load_dataset_file(folder / "d.yaml"))
    assert [r.name for r in contents.records] == ["sub/a"]
    (problem,) = errors(contents.problems)
    assert problem.file.endswith("bee_mask.png") and "(there is sub/bee.jpg)" in problem.message
    assert problem.remedy == "add the image, rename the mask, or remove it"
    (account,) = contents.accounts
    assert str(account) == "sources[0] train: 3 images = 1 used + 2 left out (2 without labels that can be used)"


def test_what_is_wrong_with_a_folder_of_masks(folder):
    save(folder / "grey/sub/a.tif", figure())
    save(folder / "grey/sub/a.overlay.png", np.zeros((H, W, 3), np.uint8))
    found, (problem,) = find_maps(folder / "grey")
    assert set(found) == {"sub/a", "sub/b"} and "has the same stem as a.png" in problem.message
    (folder / "none").mkdir()
    assert [p.message for p in find_maps(folder / "none")[1]] == ["holds no image"]


def test_a_changed_mask_is_another_record(folder):
    def prints() -> list[str]:
        return [r.fingerprint for r in read_dataset(load_dataset_file(folder / "d.yaml"))[0]]

    before = prints()
    save(folder / "grey/sub/a.png", np.pad(figure()[:, 2:], ((0, 0), (0, 2))) | 1)
    after = prints()
    assert before[0] != after[0] and before[1] == after[1]


def test_several_pages_and_masks_that_are_turned_by_exif_are_refused(tmp_path):
    pages = [Image.fromarray(figure()), Image.fromarray(figure())]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(BadInput, match="has 2 pages, expected one"):
        read_mask(tmp_path / "a.tif", (W, H))
    exif = Image.Exif()
    for turned, refused in ((3, True), (6, False), (1, False)):
        exif[0x0112] = turned
        Image.fromarray(figure()).save(tmp_path / "a.png", exif=exif)
        if refused:
            with pytest.raises(BadInput, match="EXIF orientation 3"):
                read_mask(tmp_path / "a.png", (W, H))
        else:
            assert (read_mask(tmp_path / "a.png", (W, H)) == figure()).all(), "its size says that it is upright"
    exif[0x0112] = 6
    Image.fromarray(figure()[:, :H]).save(tmp_path / "b.png", exif=exif)
    with pytest.raises(BadInput, match="EXIF orientation 6"):
        read_mask(tmp_path / "b.png", (H, H))
