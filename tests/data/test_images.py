"""Photographs from strangers: right pixels, or a reason; whatever was converted is said."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from coarseparts.data import images
from coarseparts.data.images import decode, list_images, probe, stem
from coarseparts.system.problems import BadInput

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (5, 7, 3)).astype(np.uint8)


def png(width, height, depth, colour, rows: bytes) -> bytes:
    """A PNG file written by hand: what Pillow cannot write, or would not."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def refused(path) -> str:
    with pytest.raises(BadInput) as caught:
        decode(path)
    (problem,) = caught.value.problems
    assert problem.severity == "error" and problem.file == str(path) and problem.remedy
    return problem.message


def converted(path) -> tuple[np.ndarray, str]:
    array, problems = decode(path)
    assert array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] == 3 and array.flags.writeable
    assert probe(path) == (array.shape[1], array.shape[0])
    assert all(p.severity == "repaired" and p.file == str(path) for p in problems)
    return array, "; ".join(p.message for p in problems)


def test_rgb_comes_as_it_is(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    array, said = converted(tmp_path / "a.png")
    np.testing.assert_array_equal(array, RGB)
    assert said == ""


@pytest.mark.parametrize("name", ["with space.png", "ümläut.png", "new\nline.png", os.fsdecode(b"latin\xe9.png")])
def test_odd_file_names(tmp_path, name):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    try:
        os.rename(tmp_path / "a.png", tmp_path / name)
    except OSError:
        pytest.skip("this file system does not take such a name")
    np.testing.assert_array_equal(converted(tmp_path / name)[0], RGB)


def test_grey_scale_is_repeated(tmp_path):
    Image.fromarray(RGB[..., 0]).save(tmp_path / "a.png")
    array, said = converted(tmp_path / "a.png")
    np.testing.assert_array_equal(array, np.repeat(RGB[..., :1], 3, axis=2))
    assert "grey-scale" in said


@pytest.mark.parametrize("top, shift", [(65535, 8), (4095, 4), (255, 0)])
def test_16_bit_grey_fits_its_brightest_pixel(tmp_path, top, shift):
    values = RNG.integers(0, top + 1, (5, 7)).astype(np.uint16)
    values[0, 0] = top
    Image.fromarray(values).save(tmp_path / "a.png")
    array, said = converted(tmp_path / "a.png")
    np.testing.assert_array_equal(array[..., 1], values >> shift)
    assert "16-bit" in said


def test_16_bit_colour(tmp_path):
    values = RNG.integers(0, 65536, (5, 7, 3)).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    (tmp_path / "a.png").write_bytes(png(7, 5, 16, 2, rows))
    array, said = converted(tmp_path / "a.png")
    np.testing.assert_array_equal(array, values >> 8)
    assert "16-bit" in said


def test_cmyk(tmp_path):
    flat = np.full((8, 8, 3), (200, 40, 90), np.uint8)
    Image.fromarray(flat).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    array, said = converted(tmp_path / "a.jpg")
    assert np.abs(array.astype(int) - flat).max() < 12 and "CMYK" in said


def test_palette(tmp_path):
    picture = Image.fromarray(RGB).quantize(8)
    picture.save(tmp_path / "a.png")
    array, said = converted(tmp_path / "a.png")
    np.testing.assert_array_equal(array, np.array(picture.convert("RGB")))
    assert "palette" in said


def test_transparency_is_laid_over_white(tmp_path):
    alpha = np.zeros((5, 7, 1), np.uint8)
    alpha[:, 3:] = 255
    Image.fromarray(np.concatenate([RGB, alpha], 2)).save(tmp_path / "a.png")
    array, said = converted(tmp_path / "a.png")
    assert (array[:, :3] == 255).all() and "white" in said
    np.testing.assert_array_equal(array[:, 3:], RGB[:, 3:])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(tmp_path, orientation):
    upright = np.zeros((16, 24, 3), np.uint8)
    upright[:8, :8] = (255, 0, 0)
    upright[:8, 16:] = (0, 255, 0)
    # How a camera stores it, written out from the standard: what the 0th row and 0th column of the file show.
    stored = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: a.swapaxes(0, 1)[::-1],
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: a.swapaxes(0, 1)[:, ::-1],
    }[orientation](upright)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a.jpg", quality=100, subsampling=0, exif=exif)
    array, said = converted(tmp_path / "a.jpg")
    assert array.shape == upright.shape
    assert np.abs(array.astype(int) - upright).max() < 40
    assert ("EXIF" in said) == (orientation > 1)


def test_damaged_exif_does_not_matter(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert converted(tmp_path / "a.jpg")[1] == ""


def test_the_first_frame_is_used(tmp_path):
    frames = [Image.fromarray(np.full((4, 4), v, np.uint8)) for v in (10, 200)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    array, said = converted(tmp_path / "a.tif")
    assert (array == 10).all() and "frames" in said


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_truncated(tmp_path, kind, share):
    buffer = io.BytesIO()
    noise = RNG.integers(0, 256, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(noise).save(buffer, kind)
    whole = buffer.getvalue()
    (tmp_path / "a.jpg").write_bytes(whole[: int(len(whole) * share)])
    message = refused(tmp_path / "a.jpg")
    assert "damaged" in message or "is no image" in message


def test_corrupt(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3)).astype(np.uint8)).save(buffer, "PNG")
    broken = bytearray(buffer.getvalue())
    broken[200:260] = bytes(60)
    (tmp_path / "a.png").write_bytes(broken)
    assert "damaged" in refused(tmp_path / "a.png")


def test_random_damage_never_escapes(tmp_path):
    """Whatever bytes are wrong: an array, or BadInput."""
    rng = np.random.default_rng(1)
    outcomes = set()
    for kind in ("JPEG", "PNG", "TIFF", "GIF", "BMP", "WEBP", "PPM"):
        buffer = io.BytesIO()
        Image.fromarray(RGB).save(buffer, kind)
        whole = np.frombuffer(buffer.getvalue(), np.uint8)
        for _ in range(60):
            broken = whole.copy()
            where = rng.integers(0, min(len(broken), 120), 3)
            broken[where] = rng.integers(0, 256, 3)
            (tmp_path / "a").write_bytes(broken.tobytes())
            try:
                array, _ = decode(tmp_path / "a")
                outcomes.add(array.dtype.name)
            except BadInput:
                outcomes.add("refused")
    assert outcomes == {"uint8", "refused"}


def test_not_an_image(tmp_path):
    (tmp_path / "a.jpg").write_text("<html>404</html>")
    assert "is no image" in refused(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").write_bytes(b"")
    assert "0 bytes" in refused(tmp_path / "b.jpg")
    assert "does not exist" in refused(tmp_path / "c.jpg")
    assert "is a folder, expected an image" in refused(tmp_path)


@pytest.mark.parametrize("side", [10_100, 60_000])
def test_decompression_bombs_are_refused_by_their_header(tmp_path, side):
    (tmp_path / "a.png").write_bytes(png(side, side, 8, 2, b""))  # there is not even a pixel in it
    message = refused(tmp_path / "a.png")
    assert "pixels" in message and f"{images.MAX_PIXELS:,}" in message
    with pytest.raises(BadInput):
        probe(tmp_path / "a.png")


def test_floating_point_is_refused(tmp_path):
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "a.tif")
    assert "floating-point" in refused(tmp_path / "a.tif")
    Image.fromarray(np.full((4, 4), 70000, np.int32)).save(tmp_path / "b.tif")
    assert "70000" in refused(tmp_path / "b.tif")


def test_listing_a_folder(tmp_path):
    for name in ("b.JPG", "sub dir/a.png", ".hidden.png", ".cache/c.png", "notes.txt", "a.b.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = list_images(tmp_path)
    assert [name for name, _ in found] == ["a.b.tif", "b.JPG", "sub dir/a.png"]
    assert all(path == tmp_path / name for name, path in found)
    assert [stem(name) for name, _ in found] == ["a.b", "b", "sub dir/a"]
    assert stem("x.y/z") == "x.y/z"
