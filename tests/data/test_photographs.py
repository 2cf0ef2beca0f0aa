"""Photographs as phones, microscopes and scanners write them: the right pixels, or what to do."""

from __future__ import annotations

import importlib.util
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from coarseparts.data.images import decode, list_images, probe
from coarseparts.data.suffixes import passed_over
from coarseparts.system.problems import BadInput

RNG = np.random.default_rng(0)
RGB = np.kron(RNG.integers(0, 256, (4, 6, 3)), np.ones((16, 16, 1), int)).astype(np.uint8)


def refused(path: Path) -> tuple[str, str]:
    with pytest.raises(BadInput) as caught:
        decode(path)
    (problem,) = caught.value.problems
    assert problem.severity == "error" and problem.file == str(path)
    return problem.message, problem.remedy


def said(path: Path) -> tuple[np.ndarray, str]:
    array, problems = decode(path)
    assert array.dtype == np.uint8 and array.shape[2] == 3 and probe(path) == (array.shape[1], array.shape[0])
    return array, "; ".join(problem.message for problem in problems)


def tiff(path: Path, values: np.ndarray) -> Path:
    """An uncompressed little-endian TIFF of (H, W, C) uint16: what Pillow does not write."""
    height, width, channels = values.shape
    data = values.astype("<u2").tobytes()
    bits = 8 + len(data)
    extra = max(0, channels - (3 if channels >= 3 else 1))
    entries = [
        (256, 3, 1, width),
        (257, 3, 1, height),
        (258, 3, channels, bits),
        (259, 3, 1, 1),
        (262, 3, 1, 2 if channels >= 3 else 1),
        (273, 4, 1, 8),
        (277, 3, 1, channels),
        (278, 3, 1, height),
        (279, 4, 1, len(data)),
        (338, 3, extra, bits + 2 * channels),
    ][: None if extra else -1]
    more = struct.pack(f"<{channels}H", *[16] * channels) + bytes(2 * extra)
    if extra in (1, 2):
        entries[-1] = (338, 3, extra, 0)
    if channels <= 2:
        entries[2] = (258, 3, channels, 16 | 16 << 16 if channels == 2 else 16)
    table = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    path.write_bytes(b"II*\0" + struct.pack("<I", bits + len(more)) + data + more + table)
    return path


@pytest.mark.skipif(not features.check("jpg_2000"), reason="this Pillow has no JPEG 2000")
def test_jpeg_2000_is_decoded(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.jp2")
    with open(tmp_path / "a.jp2", "ab") as file:  # a number with 16 in it does not make it one of 16 bits
        file.write(bytes(16000 - file.tell()))
    array, note = said(tmp_path / "a.jp2")
    np.testing.assert_array_equal(array, RGB)
    assert note == "" and [name for name, _ in list_images(tmp_path)] == ["a.jp2"]


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif_is_decoded_and_damage_told(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.avif", quality=95)
    assert np.abs(said(tmp_path / "a.avif")[0].astype(int) - RGB).mean() < 8
    (tmp_path / "b.avif").write_bytes((tmp_path / "a.avif").read_bytes()[:200])
    assert "damaged" in refused(tmp_path / "b.avif")[0] or "no image" in refused(tmp_path / "b.avif")[0]


def test_a_heic_photograph_without_its_decoder_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    message, remedy = refused(tmp_path / "IMG_1.HEIC")
    assert "HEIC" in message and "pip install 'coarseparts[formats]'" in remedy
    assert [name for name, _ in list_images(tmp_path)] == ["IMG_1.HEIC"], "it is no file that is passed over"


@pytest.mark.skipif(importlib.util.find_spec("pillow_heif") is None, reason="pillow-heif is not installed")
def test_a_heic_photograph_is_decoded_upright(tmp_path: Path) -> None:
    import pillow_heif

    exif = Image.Exif()
    exif[0x0112] = 6
    heif = pillow_heif.from_pillow(Image.fromarray(RGB))
    heif.save(tmp_path / "a.heic", quality=95, exif=exif.tobytes())
    array, _ = said(tmp_path / "a.heic")
    assert array.shape == (RGB.shape[1], RGB.shape[0], 3)
    assert np.abs(array.astype(int) - np.rot90(RGB, -1)).mean() < 8
    (tmp_path / "b.heic").write_bytes((tmp_path / "a.heic").read_bytes()[:-600])
    assert "damaged" in refused(tmp_path / "b.heic")[0]


@pytest.mark.parametrize("suffix", [".nef", ".CR2", ".dng"])
def test_raw_files_are_refused_by_name_though_they_hold_a_picture(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.tif")
    raw = (tmp_path / "a.tif").rename(tmp_path / f"a{suffix}")
    message, remedy = refused(raw)
    assert "raw file" in message and "export" in remedy


def test_what_a_folder_holds_and_is_passed_over_is_counted_by_suffix(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.heic", "c.nef", "d.NEF", "sub/e.mov", "noname", ".hidden.nef", "labels.json", "Thumbs.db"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (note,) = passed_over(tmp_path)
    assert note.severity == "note" and note.file == str(tmp_path)
    assert note.message.startswith("holds 4 files that are no images by their names and are passed over: 2 .nef, ")
    assert "1 .mov" in note.message and "1 without a suffix" in note.message
    assert "raw files: export" in note.remedy and "extract the frames" in note.remedy
    assert not passed_over(tmp_path, {"c.nef", "d.NEF", "sub/e.mov", "noname"})


def test_the_largest_page_of_a_tiff_is_used_and_the_first_of_equal_ones(tmp_path: Path) -> None:
    pages = [Image.fromarray(np.full((side, side), value, np.uint8)) for side, value in ((4, 9), (8, 50), (8, 70))]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    array, note = said(tmp_path / "a.tif")
    assert array.shape == (8, 8, 3) and (array == 50).all() and "has 3 frames, number 2 is used" in note


@pytest.mark.parametrize(("top", "by"), [(4095, 16), (1000, 4), (65535, 256), (5000, 256)])
def test_colour_of_12_bits_in_16_is_as_bright_as_it_can_be(tmp_path: Path, top: int, by: int) -> None:
    values = RNG.integers(0, top + 1, (5, 7, 3)).astype(np.uint16)
    values[0, 0] = top
    array, note = said(tiff(tmp_path / "a.tif", values))
    np.testing.assert_array_equal(array, values // by)
    assert note == ("16-bit colour, " + (f"divided by {by}" if by < 256 else "converted to 8 bits"))


@pytest.mark.skipif(importlib.util.find_spec("tifffile") is None, reason="tifffile is not installed")
@pytest.mark.parametrize("channels", [2, 5])
def test_channels_that_are_no_colours_have_a_rule(tmp_path: Path, channels: int) -> None:
    values = RNG.integers(0, 4096, (5, 7, channels)).astype(np.uint16)
    values[0, 0] = 4095
    array, note = said(tiff(tmp_path / "a.tif", values))
    kept = values[..., :3] if channels == 5 else values[..., :1].repeat(3, axis=2)
    np.testing.assert_array_equal(array, kept // 16)
    rule = "the first three are taken for RGB" if channels == 5 else "the first is used"
    assert note == f"has {channels} channels, {rule}; 16 bits, divided by 16"


def test_channels_without_their_decoder_name_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tifffile", None)
    message, remedy = refused(tiff(tmp_path / "a.tif", np.ones((5, 7, 5), np.uint16)))
    assert "channels" in message and "pip install 'coarseparts[formats]'" in remedy
