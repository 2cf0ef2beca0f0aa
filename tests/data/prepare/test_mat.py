"""Matlab files: what scipy writes is read as scipy reads it, and nothing that is damaged does harm."""

import random
import struct
import zlib

import numpy as np
import pytest
from real_data import SHARED, needs_shared
from scipy.io import loadmat, savemat

from coarseparts.data.prepare.mat import read_mat

EXAMPLES = SHARED / "data" / "pascal_part_examples"


def cell(*values):
    out = np.empty((1, len(values)), object)
    out[0] = values
    return out


@pytest.mark.parametrize("compressed", [True, False])
def test_numbers_texts_cells_and_structs(tmp_path, compressed):
    structs = np.zeros((1, 2), [("a", object), ("a_longer_name", object)])
    structs[0, 0] = np.array([[1.5, 2], [3, 4]]), "bird"
    structs[0, 1] = np.zeros((0, 0)), cell("x", np.int16([[-5]]))
    numbers = {f"n_{kind}": np.arange(6).astype(kind).reshape(2, 3) for kind in ("u1", "i2", "u4", "i8", "f4", "f8")}
    content = numbers | {"s": structs, "text": "über", "none": "", "flag": np.array([[True, False]])}
    savemat(tmp_path / "a.mat", content | {"cube": np.arange(24).reshape(2, 3, 4)}, do_compression=compressed)
    found = read_mat(tmp_path / "a.mat")
    for name, values in numbers.items():
        assert (found[name] == values).all() and found[name].shape == (2, 3)
    assert found["text"] == "über" and found["none"] == "" and found["flag"].tolist() == [[1, 0]]
    assert (found["cube"] == np.arange(24).reshape(2, 3, 4)).all()
    first, second = found["s"]
    assert first["a"].tolist() == [[1.5, 2], [3, 4]] and first["a_longer_name"] == "bird"
    assert second["a"].size == 0 and second["a_longer_name"][0] == "x" and second["a_longer_name"][1].tolist() == [[-5]]


def test_what_is_no_such_file(tmp_path):
    path = tmp_path / "a.mat"
    for content in (b"", b"MATLAB 5.0", b"\x89HDF\r\n\x1a\n" + b"\0" * 300):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="no Matlab file of version 5 to 7"):
            read_mat(path)
    savemat(path, {"x": np.zeros(3)}, format="4")
    with pytest.raises(ValueError, match="version"):
        read_mat(path)


def test_a_file_that_grows_without_end_is_stopped(tmp_path, monkeypatch):
    savemat(tmp_path / "a.mat", {"x": np.zeros((1000, 1000), np.uint8)}, do_compression=True)
    monkeypatch.setattr("coarseparts.data.prepare.mat.LARGEST", 10_000)
    with pytest.raises(ValueError, match="takes more than 10,000 bytes"):
        read_mat(tmp_path / "a.mat")


def damaged(content: bytes, rounds: int):
    """The same file with bytes changed below its checksum, mostly in its structure."""
    raw, drawn = zlib.decompress(content[136:]), random.Random(0)
    for i in range(rounds):
        changed = bytearray(raw)
        for _ in range(drawn.randint(1, 3)):
            changed[drawn.randrange(min(800, len(changed)) if i % 4 else len(changed))] = drawn.choice(
                (0, 1, 255, drawn.randrange(256))
            )
        packed = zlib.compress(bytes(changed), 1)
        yield content[:128] + struct.pack("<II", 15, len(packed)) + packed


def test_no_damage_does_harm(tmp_path):
    structs = np.zeros((1, 2), [("class", object), ("mask", object)])
    structs[0, 0] = structs[0, 1] = "bird", np.zeros((5, 7), np.uint8)
    savemat(tmp_path / "a.mat", {"anno": structs}, do_compression=True)
    refused = 0
    for content in damaged((tmp_path / "a.mat").read_bytes(), 1500):
        (tmp_path / "b.mat").write_bytes(content)
        try:
            read_mat(tmp_path / "b.mat")
        except ValueError as error:
            assert str(error)
            refused += 1
    assert refused > 300


@needs_shared
def test_real_files_are_read_as_scipy_reads_them():
    for path in sorted(EXAMPLES.glob("*.mat")):
        (mine,), theirs = read_mat(path)["anno"], loadmat(path)["anno"][0, 0]
        assert mine["imname"] == theirs["imname"][0]
        for one, other in zip(mine["objects"], theirs["objects"].ravel(), strict=True):
            assert one["class"] == other["class"][0] and one["class_ind"] == other["class_ind"]
            np.testing.assert_array_equal(one["mask"], other["mask"])
            parts = other["parts"].ravel() if other["parts"].dtype.names else []
            for part, again in zip(one["parts"], parts, strict=True):
                assert part["part_name"] == again["part_name"][0]
                np.testing.assert_array_equal(part["mask"], again["mask"])
