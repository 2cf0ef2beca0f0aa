"""Photographs of more pixels than are allowed: read at a reduced size where their format can, else refused by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features
from typer.testing import CliRunner

from coarseparts.cli.main import app
from coarseparts.data import images
from coarseparts.data.dataset_file import load_dataset_file
from coarseparts.data.images import read_photograph
from coarseparts.data.records import read_dataset
from coarseparts.system.problems import BadInput

W, H = 128, 96


@pytest.fixture(autouse=True)
def few_pixels() -> Iterator[None]:
    """A quarter of those of the photographs here."""
    images.allow(W * H // 4)
    yield
    images.allow(images.MAX_PIXELS)


def photograph(file: Path, **how: object) -> Path:
    picture = np.zeros((H, W, 3), np.uint8)
    picture[: H // 2, : W // 2] = (250, 10, 10)
    Image.fromarray(picture).save(file, **how)
    return file


@pytest.mark.parametrize("suffix", ["jpg", "jp2"] if features.check("jpg_2000") else ["jpg"])
def test_it_is_read_at_a_reduced_size_where_its_format_can_be(tmp_path: Path, suffix: str) -> None:
    found = read_photograph(photograph(tmp_path / f"a.{suffix}"))
    assert found.array.shape == (H // 2, W // 2, 3) and found.size == (W, H)
    assert np.abs(found.array[4, 4].astype(int) - (250, 10, 10)).max() < 12 and found.array[40, 40].max() < 12
    (told,) = found.problems
    assert told.severity == "repaired" and told.message.startswith("has 128x96 pixels, more than 3,072, and was read")
    assert "--max-pixels 12288" in told.remedy
    images.allow(W * H)
    assert read_photograph(tmp_path / f"a.{suffix}").array.shape == (H, W, 3)


def test_its_own_size_is_the_upright_one(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    found = read_photograph(photograph(tmp_path / "a.jpg", exif=exif))
    assert found.size == (H, W) and found.array.shape == (W // 2, H // 2, 3)


def test_shares_of_its_sides_are_placed_on_it(tmp_path: Path) -> None:
    for below in ("images", "labels"):
        (tmp_path / below).mkdir()
    photograph(tmp_path / "images" / "a.jpg")
    (tmp_path / "labels" / "a.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (tmp_path / "data.yaml").write_text("names: [ant]\ntrain: images\n")
    text = "parts: [head]\nsources:\n  - {split: train, images: images, labels: .}\n"
    (tmp_path / "d.yaml").write_text(text)
    (record,), _, _ = read_dataset(load_dataset_file(tmp_path / "d.yaml"))
    assert record.load()[0].labels["box"].tolist() == [W / 8, H / 8, 3 * W / 8, 3 * H / 8]  # of the half that is read


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_other_formats_are_refused_with_the_option(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(BadInput, match=r"has 128x96 pixels, expected at most 3,072; .*--max-pixels"):
        read_photograph(photograph(tmp_path / f"a.{suffix}"))


@pytest.mark.parametrize("stated", [True, False])
def test_its_labels_are_scaled_with_it(tmp_path: Path, stated: bool) -> None:
    (tmp_path / "images").mkdir()
    for i in range(2):
        photograph(tmp_path / "images" / f"{i}.jpg", quality=90 + i)
    sizes = {"width": W, "height": H} if stated else {}
    entry: dict[str, object] = {
        "category_id": 1,
        "keypoints": [20, 30, 2],
        "bbox": [10, 20, 80, 60],
        "segmentation": [[10, 20, 90, 20, 90, 80]],
    }
    content = {
        "images": [{"id": i, "file_name": f"{i}.jpg", **sizes} for i in range(2)],
        "annotations": [{"id": i, "image_id": i, **entry} for i in range(2)],
        "categories": [{"id": 1, "name": "ant", "keypoints": ["head"]}],
    }
    (tmp_path / "c.json").write_text(json.dumps(content))
    (tmp_path / "d.yaml").write_text("parts: [a]\nsources: [{split: train, images: images, coco: c.json}]")
    records, _, _ = read_dataset(load_dataset_file(tmp_path / "d.yaml"))
    sample, _ = records[0].load()
    assert sample.image.shape == (H // 2, W // 2, 3)
    assert sample.labels["keypoints"].tolist() == [[10, 15, 2]] and sample.labels["box"].tolist() == [5, 10, 45, 40]
    assert sample.labels["mask"].shape == (H // 2, W // 2) and (sample.labels["mask"] > 0).any()


def test_the_option_allows_more(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    photograph(tmp_path / "images" / "a.png")
    content = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 20, 80, 60]}],
        "categories": [{"id": 1, "name": "ant"}],
    }
    (tmp_path / "c.json").write_text(json.dumps(content))
    (tmp_path / "d.yaml").write_text("parts: [a]\nsources: [{split: train, images: images, coco: c.json}]")
    call = ["check", str(tmp_path / "d.yaml"), "--sheet", str(tmp_path / "s.png")]

    def told(*more: str) -> str:
        return " ".join(CliRunner().invoke(app, [*call, *more]).output.split())  # lines end where the terminal does

    assert "expected at most 3,072" in told()
    assert "expected at most" not in told("--max-pixels", "20000")
    assert CliRunner().invoke(app, [*call, "--max-pixels", "0"]).exit_code == 2
