"""Masks that NumPy saved: part masks and figure-ground masks as .npy and .npz."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_mask_layouts import BODY, HEAD, PARTS, H, W, errors, photographs, read
from test_proposal import SIZE, proposed
from test_proposal import photographs as six_photographs

from coarseparts.data.formats.mask_folder import read_mask
from coarseparts.data.formats.part_masks import read_part_mask
from coarseparts.data.proposal.propose import propose
from coarseparts.system.problems import BadInput


def save(file: Path, values: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    np.save(file, values) if file.suffix == ".npy" else np.savez_compressed(file, mask=values)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.uint16, np.float32, ">i4"])
def test_part_masks(tmp_path: Path, suffix: str, kind: Any) -> None:
    photographs(tmp_path / "images")
    save(tmp_path / f"masks/a{suffix}", PARTS.astype(kind))
    save(tmp_path / f"masks/b{suffix}", np.asfortranarray(PARTS.astype(kind))[None])
    records, problems = read(tmp_path)
    assert errors(problems) == [] and [record.name for record in records] == ["a", "b"]
    assert all((record.load()[0].parts == PARTS).all() for record in records)


@pytest.mark.parametrize("how", ["masks/{part}/{name}.npy", "masks/{name}_{part}.npz", "masks/{name}/{part}.npy"])
def test_a_file_for_each_part(tmp_path: Path, how: str) -> None:
    photographs(tmp_path / "images")
    for name in "ab":
        for part, mask in (("head", HEAD), ("body", BODY)):
            save(tmp_path / how.format(name=name, part=part), mask)
    records, problems = read(tmp_path)
    assert errors(problems) == [] and all((record.load()[0].parts == PARTS).all() for record in records)


@pytest.mark.parametrize("values", [HEAD, HEAD.astype(np.int64), HEAD * np.uint8(255), HEAD.astype(np.float64)])
def test_figure_ground_masks(tmp_path: Path, values: np.ndarray) -> None:
    photographs(tmp_path / "images")
    for name in "ab":
        save(tmp_path / f"images/{name}_mask.npy", values)
    records, problems = read(tmp_path, "masks: images, suffix: _mask")
    assert problems == [] or all("passed over" not in str(p) for p in problems)
    assert errors(problems) == []
    assert all((records[0].load()[0].labels["mask"] == 255 * HEAD).tolist())
    np.testing.assert_array_equal(read_mask(tmp_path / "images/a_mask.npy", (W, H)), 255 * HEAD)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.zeros((H, W, 3), np.uint8), r"holds uint8 of shape \(24, 32, 3\), expected a mask \(height, width\)"),
        (np.full((H, W), 0.5), "holds 0.5, expected whole numbers"),
        (np.full((H, W), 2**40), "holds 1099511627776..1099511627776, expected"),
        (np.zeros((0, W), np.uint8), r"of shape \(0, 32\)"),
        (np.array({"masks": PARTS}, dtype=object), "holds Python objects, which can run code"),
        (PARTS.T.astype(np.uint8), "is 24x32 pixels, its image is 32x24"),
        (np.full((H, W), 7, np.uint8), "unknown part index 7"),
        (np.full((H, W), "head"), "holds str128 of shape"),
    ],
)
def test_what_is_no_mask_is_told(tmp_path: Path, values: np.ndarray, says: str) -> None:
    np.save(tmp_path / "a.npy", values, allow_pickle=True)
    with pytest.raises(BadInput, match=says) as told:
        read_part_mask(tmp_path / "a.npy", (W, H), ("head", "body"))
    assert all(problem.file.endswith("a.npy") and problem.remedy for problem in told.value.problems)


def test_damaged_files_and_those_of_several_arrays_are_told(tmp_path: Path) -> None:
    def told(file: Path, says: str) -> None:
        with pytest.raises(BadInput, match=says):
            read_part_mask(file, (W, H), ("head", "body"))

    np.savez(tmp_path / "two.npz", image=PARTS, mask=PARTS)
    told(tmp_path / "two.npz", r"holds 2 arrays \('image', 'mask'\), expected one")
    np.save(tmp_path / "cut.npy", PARTS)
    whole = (tmp_path / "cut.npy").read_bytes()
    (tmp_path / "cut.npy").write_bytes(whole[:-9])
    told(tmp_path / "cut.npy", "is damaged")
    (tmp_path / "cut.npz").write_bytes(whole)
    told(tmp_path / "cut.npz", "is damaged")
    huge = whole.replace(b"(24, 32)", b"(99999, 99999)")[: len(whole)]
    for file in ("huge.npy", "huge.npz"):
        if file.endswith("npy"):
            (tmp_path / file).write_bytes(huge)
        else:
            with zipfile.ZipFile(tmp_path / file, "w") as archive:
                archive.writestr("arr_0.npy", huge)
        told(tmp_path / file, "is 99999x99999 pixels|9,999,800,001|99999")


@pytest.mark.parametrize("where", ["masks", "photos"])
def test_init_recognises_them(tmp_path: Path, where: str) -> None:
    six_photographs(tmp_path / "photos")
    mask = np.zeros(SIZE[::-1], np.int32)
    mask[5:15, 5:15], mask[5:15, 15:30] = 1, 2
    for i in range(1, 7):
        save(tmp_path / where / f"{i}{'_mask' if where == 'photos' else ''}.npy", mask)
    found, _ = proposed(tmp_path, *dict.fromkeys(["photos", where]), parts=("head", "rump"))
    assert all(one["part_masks"] == where and one["images"] == "photos" for one in found["sources"])


def test_arrays_that_are_no_masks_are_no_photographs(tmp_path: Path) -> None:
    six_photographs(tmp_path / "photos")
    for i in range(1, 7):
        save(tmp_path / "features" / f"{i}.npy", np.random.default_rng(i).random((7, 7, 64)))
        save(tmp_path / "masks" / f"{i}.npz", np.arange(SIZE[0]) // 14 * np.ones(SIZE[::-1], np.uint8))
    found, proposal = proposed(tmp_path, "photos", "features", "masks", parts=("head", "rump"))
    assert {one["images"] for one in found["sources"]} == {"photos"}
    assert any("features holds 6 arrays that are no masks" in line for line in proposal.assumed)


def test_random_damage_never_escapes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for suffix in (".npy", ".npz"):
        save(tmp_path / f"a{suffix}", PARTS.astype(np.int32))
        whole = np.frombuffer((tmp_path / f"a{suffix}").read_bytes(), np.uint8)
        for _ in range(150):
            damaged = whole.copy()
            damaged[rng.integers(0, min(len(whole), 200), 2)] = rng.integers(0, 256, 2)
            (tmp_path / f"b{suffix}").write_bytes(damaged.tobytes()[: rng.integers(60, len(whole) + 1)])
            try:
                read_part_mask(tmp_path / f"b{suffix}", (W, H), ("head", "body"))
            except BadInput as told:
                assert all(problem.file.endswith(suffix) for problem in told.problems)


@pytest.mark.parametrize("number", [2**31 - 1, -(2**31)])
def test_large_numbers_are_told_without_much_memory(tmp_path: Path, number: int) -> None:
    values = PARTS.astype(np.int64)
    values[0, 0] = number
    save(tmp_path / "a.npy", values)
    with pytest.raises(BadInput, match=f"holds the unknown part index {number}"):
        read_part_mask(tmp_path / "a.npy", (W, H), ("head", "body"))


@pytest.mark.parametrize("kind", ["int64", "uint64", "uint32", "int32", "uint16", "int8", "float32", "float64"])
def test_label_images_as_python_programs_save_them(tmp_path: Path, kind: str) -> None:
    tifffile = pytest.importorskip("tifffile")
    six_photographs(tmp_path / "photos")
    (tmp_path / "masks").mkdir()
    mask = np.zeros(SIZE[::-1], kind)
    mask[5:15, 5:15], mask[5:15, 15:30] = 1, 2
    for i in range(1, 7):
        tifffile.imwrite(tmp_path / "masks" / f"{i}.tif", mask)
    found, _ = proposed(tmp_path, "photos", "masks", parts=("head", "rump"))
    assert {one["part_masks"] for one in found["sources"]} == {"masks"}
    assert np.array_equal(read_part_mask(tmp_path / "masks" / "1.tif", SIZE, ("head", "rump")), mask)
    tifffile.imwrite(tmp_path / "whole.tif", (mask > 0).astype(kind))
    assert np.array_equal(read_mask(tmp_path / "whole.tif", SIZE) > 0, mask > 0)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (np.ones((*SIZE[::-1], 2), np.uint8), "has channels that are neither colours nor transparency"),
        (np.ones((*SIZE[::-1], 5), np.uint8), "TIFF of 5 channels of uint8, expected one"),
        (np.full(SIZE[::-1], 0.5, np.float32), "1.tif, whose numbers are fractions"),
        (np.full(SIZE[::-1], 0.5), "1.tif, which holds 0.5..0.5, expected part indices"),
    ],
)
def test_why_a_tiff_is_no_mask_is_told(tmp_path: Path, values: np.ndarray, why: str) -> None:
    tifffile = pytest.importorskip("tifffile")
    six_photographs(tmp_path / "photos")
    (tmp_path / "masks").mkdir()
    for i in range(1, 7):
        kind = {"photometric": "minisblack", "planarconfig": "contig"} if values.ndim > 2 else {}
        tifffile.imwrite(tmp_path / "masks" / f"{i}.tif", values, **kind)
    with pytest.raises(BadInput, match=why):
        propose([tmp_path / "photos", tmp_path / "masks"], tmp_path / "d.yaml", ("head", "rump"))


def test_four_masks_as_the_channels_of_one_image_are_refused(tmp_path: Path) -> None:
    channels = np.zeros((*SIZE[::-1], 4), np.uint8)
    for i in range(4):
        channels[5:15, 8 * i : 8 * i + 8, i] = 255
    Image.fromarray(channels).save(tmp_path / "a.png")
    with pytest.raises(BadInput, match="are its four channels a part each"):
        read_part_mask(tmp_path / "a.png", SIZE, ("a", "b", "c", "d"))
