"""Part masks as tools save them: in a labelmap's colours, in another order, in few bits, as grey in three channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from coarseparts.data.dataset_file import load_dataset_file
from coarseparts.data.formats.colours import written
from coarseparts.data.formats.labelmap import names_of, read_labelmap
from coarseparts.data.formats.mask_values import doubts
from coarseparts.data.formats.part_masks import background_elsewhere, read_part_mask
from coarseparts.data.records import read_dataset
from coarseparts.system.problems import BadInput

PARTS = ("head", "tail")
INDEX = np.zeros((8, 10), np.uint8)
INDEX[2:4, 2:5], INDEX[4:7, 3:8] = 1, 2
RED, BLUE = (200, 10, 10), (10, 10, 200)
LABELMAP = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ntail:10,10,200::\nhead:200,10,10::\n"


def coloured(*colours: tuple[int, int, int]) -> np.ndarray:
    return np.array(colours, np.uint8)[INDEX]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    Image.fromarray(np.full((8, 10, 3), 90, np.uint8)).save(tmp_path / "images" / "a.png")
    source = "{split: train, images: images, part_masks: masks}"
    (tmp_path / "d.yaml").write_text(f"parts: [head, tail]\nsize: 16\nsources: [{source}]\n")
    return tmp_path


def loaded(folder: Path, key: str = "") -> np.ndarray:
    """The part map of the one photograph, ``key`` being one more of the source."""
    source = f"{{split: train, images: images, part_masks: masks{', ' if key else ''}{key}}}"
    (folder / "d.yaml").write_text(f"parts: [head, tail]\nsize: 16\nsources: [{source}]\n")
    (record,), problems, _ = read_dataset(load_dataset_file(folder / "d.yaml"))
    assert not [p for p in problems if p.severity == "error"]
    parts = record.load()[0].parts
    assert parts is not None
    return parts


@pytest.mark.parametrize("place", [".", "masks"])
def test_colours_are_the_labelmaps(folder: Path, place: str) -> None:
    (folder / place / "labelmap.txt").write_text(LABELMAP)
    Image.fromarray(coloured((0, 0, 0), RED, BLUE)).save(folder / "masks" / "a.png")
    assert np.array_equal(loaded(folder), INDEX)
    palette = Image.fromarray(np.array([0, 2, 1], np.uint8)[INDEX], "L").convert("P")
    palette.putpalette([0, 0, 0, *BLUE, *RED])  # in the labelmap's order, not in that of `parts`
    palette.save(folder / "masks" / "a.png")
    assert np.array_equal(loaded(folder), INDEX)
    clear = np.dstack([coloured((9, 9, 9), RED, BLUE), np.where(INDEX > 0, 255, 0).astype(np.uint8)])
    Image.fromarray(clear).save(folder / "masks" / "a.png")
    assert np.array_equal(loaded(folder), INDEX), "what is transparent is background"


def test_another_labelmap_makes_another_sample(folder: Path) -> None:
    Image.fromarray(coloured((0, 0, 0), RED, BLUE)).save(folder / "masks" / "a.png")
    found = set()
    for text in (LABELMAP, LABELMAP.replace("tail", "x").replace("head", "tail").replace("x:", "head:")):
        (folder / "labelmap.txt").write_text(text)
        (record,), _, _ = read_dataset(load_dataset_file(folder / "d.yaml"))
        found.add(record.fingerprint)
    assert len(found) == 2


def test_a_labelmap_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "labelmap.txt").write_text("background:0,0,0\nhaed:1,2,3\nnothing\nvoid:9,9,9\n")
    colours, problems = read_labelmap(tmp_path, PARTS)
    assert colours == ((0, (0, 0, 0)), (255, (9, 9, 9)))
    assert [p.message for p in problems] == [
        "line 2: 'haed' is not among `parts`",
        "line 3: is 'nothing', expected name:red,green,blue",
    ]
    assert read_labelmap(tmp_path / "elsewhere" / "deep", PARTS) == ((), [])


def test_colours_without_a_labelmap_are_listed(folder: Path) -> None:
    file = folder / "masks" / "a.png"
    Image.fromarray(coloured((0, 0, 0), RED, BLUE)).save(file)
    with pytest.raises(BadInput, match=r"colours instead of part indices: 0,0,0, 10,10,200, 200,10,10.*labelmap\.txt"):
        read_part_mask(file, (10, 8), PARTS)
    with pytest.raises(BadInput, match=r"has the colours 10,10,200, which are not in labelmap\.txt"):
        read_part_mask(file, (10, 8), PARTS, ((0, (0, 0, 0)), (1, RED)))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_few_bits_hold_the_indices_themselves(tmp_path: Path, bits: int) -> None:
    index = np.minimum(INDEX, 1) if bits == 1 else INDEX
    picture = Image.fromarray(index, "L")
    if bits == 1:
        picture = Image.fromarray(index.astype(bool))
    _save_grey(tmp_path / "m.png", index, bits) if bits in (2, 4) else picture.save(tmp_path / "m.png")
    assert np.array_equal(read_part_mask(tmp_path / "m.png", (10, 8), PARTS), index)


def _save_grey(path: Path, index: np.ndarray, bits: int) -> None:
    """A grey-scale PNG of 2 or 4 bits, which Pillow reads and does not write."""
    import struct
    import zlib

    per_byte = 8 // bits
    rows = []
    for row in index:
        padded = np.zeros(-(-len(row) // per_byte) * per_byte, np.uint8)
        padded[: len(row)] = row
        shifts = np.arange(per_byte)[::-1] * bits
        rows.append(b"\0" + (padded.reshape(-1, per_byte) << shifts).sum(1).astype(np.uint8).tobytes())

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", index.shape[1], index.shape[0], bits, 0, 0, 0, 0)
    content = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"".join(rows))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


def test_grey_in_three_channels_is_read_by_its_level(tmp_path: Path) -> None:
    Image.fromarray(np.dstack([INDEX] * 3)).save(tmp_path / "m.png")
    assert np.array_equal(read_part_mask(tmp_path / "m.png", (10, 8), PARTS), INDEX)


@pytest.mark.parametrize("background", [2, 255])
def test_parts_that_seem_to_begin_at_0_are_refused_until_the_source_says_so(folder: Path, background: int) -> None:
    shifted = np.array([background, 0, 1], np.uint8)[INDEX]
    assert background_elsewhere(shifted, PARTS) == background and background_elsewhere(INDEX, PARTS) is None
    Image.fromarray(shifted).save(folder / "masks" / "a.png")
    records, problems, _ = read_dataset(load_dataset_file(folder / "d.yaml"))
    (error,) = [p for p in problems if p.severity == "error"]
    assert records == [], "nothing is left that --skip-bad could go on with"
    assert f"is the background {'255' if background == 255 else 'the last index'}?" in error.message
    told = f"colours: {{head: 0, tail: 1, background: {background}}}"
    assert told in error.remedy
    assert np.array_equal(loaded(folder, told), INDEX)
    as_it_is = np.where(shifted == 255, 255, shifted)
    assert np.array_equal(loaded(folder, "colours: {background: 0, head: 1, tail: 2}"), as_it_is)


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
@pytest.mark.parametrize(
    "colours",
    ["{tail: '#0a0ac8', head: [200, 10, 10]}", "{background: black, head: 'rgb(200,10,10)', tail: 0a0ac8}"],
)
def test_the_source_may_name_the_colours(folder: Path, suffix: str, colours: str) -> None:
    Image.fromarray(coloured((0, 0, 0), RED, BLUE)).save(folder / "masks" / f"a.{suffix}")
    assert np.array_equal(loaded(folder, f"colours: {colours}"), INDEX)


@pytest.mark.parametrize(
    ("colours", "says"),
    [
        ("{haed: red}", "'haed' is not among `parts`; did you mean 'head'?"),
        ("{head: }", "'head': got None, expected '#ff0000' (in quotes)"),
        ("{head: 300000}", "got 300000, expected"),
        ("{head: [1, 2, 300]}", "got [1, 2, 300], expected"),
        ("{head: true}", "got True, expected"),
        ("{head: red, tail: '#f00'}", "255, 0, 0 stands for two names"),
        ("{head: 0, tail: 1}", "names no background, and 0 is a part"),
        ("{background: black}", "names no part"),
    ],
)
def test_colours_that_cannot_be_are_told(folder: Path, colours: str, says: str) -> None:
    with pytest.raises(BadInput) as told:
        loaded(folder, f"colours: {colours}")
    assert f"sources[0].colours: {says}" in str(told.value) or says in str(told.value)


def test_numbers_that_the_source_does_not_name_are_told(folder: Path) -> None:
    Image.fromarray(INDEX * 9).save(folder / "masks" / "a.png")
    with pytest.raises(BadInput, match="holds the numbers 18, which `colours` does not name"):
        loaded(folder, "colours: {head: 9, tail: 7}")


def test_grey_levels_that_are_spread_evenly_are_the_parts_in_their_order(tmp_path: Path) -> None:
    index = np.zeros((8, 10), np.uint8)
    index[2:4, 2:5], index[4:6, 3:8], index[6, 3:8] = 1, 2, 3
    Image.fromarray(index * 85).save(tmp_path / "a.png")
    colours, (note,) = doubts(tmp_path, [tmp_path / "a.png"], ("head", "body", "tail"))
    assert colours == ((0, (0,)), (1, (85,)), (2, (170,)), (3, (255,))) and note.severity == "note"
    assert np.array_equal(read_part_mask(tmp_path / "a.png", (10, 8), ("head", "body", "tail"), colours), index)
    Image.fromarray(index * 50).save(tmp_path / "a.png")  # which is which is not said
    colours, (error,) = doubts(tmp_path, [tmp_path / "a.png"], ("head", "body", "tail"))
    assert colours == () and "colours: {background: 0, head: 50, body: 100, tail: 150}" in error.remedy


def test_masks_without_any_background_are_told(tmp_path: Path) -> None:
    Image.fromarray(np.array([255, 1, 2], np.uint8)[INDEX]).save(tmp_path / "a.png")
    colours, (note,) = doubts(tmp_path, [tmp_path / "a.png"], PARTS)
    assert colours == () and note.severity == "note" and "colours: {background: 255, head: 1, tail: 2}" in note.remedy


def test_colours_that_a_labelmap_leaves_out_are_voc_s(tmp_path: Path) -> None:
    (tmp_path / "labelmap.txt").write_text("# label:color_rgb:parts:actions\nbackground:::\ntail:::\nhead:::\n")
    assert read_labelmap(tmp_path, PARTS) == (((0, (0, 0, 0)), (2, (128, 0, 0)), (1, (0, 128, 0))), [])


def test_black_is_the_background_where_a_labelmap_names_none(tmp_path: Path) -> None:
    (tmp_path / "labelmap.txt").write_text("head:250,50,83::\ntail:51,221,255::\n")
    colours, (note,) = read_labelmap(tmp_path, PARTS)
    assert (0, (0, 0, 0)) in colours and note.severity == "note" and "black is taken for it" in note.message


def test_0_and_255_alone_are_called_a_silhouette_where_there_are_several_parts(tmp_path: Path) -> None:
    Image.fromarray(np.where(INDEX > 0, 255, 0).astype(np.uint8)).save(tmp_path / "m.png")
    with pytest.raises(BadInput, match=r"holds 0 and 255 alone.*by `masks`"):
        read_part_mask(tmp_path / "m.png", (10, 8), PARTS)


def test_masks_of_objects_among_which_none_touch_are_asked_about(tmp_path: Path) -> None:
    files = []
    for i in range(3):
        values = np.zeros((20, 30), np.uint8)
        values[2:8, 2:8], values[2:8, 14 + i : 20] = 1, 2
        files.append(tmp_path / f"{i}.png")
        Image.fromarray(values).save(files[-1])
    _, (note,) = doubts(tmp_path, files, PARTS)
    assert note.severity == "note" and "no two parts touch each other in 3 of its masks" in note.message
    values[2:8, 8:12] = 2
    Image.fromarray(values).save(files[-1])
    assert doubts(tmp_path, files, PARTS) == ((), [])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("label_colors.txt", "0 0 0\t\tbackground\n10 10 200\t\ttail\n200 10 10\t\thead\n"),
        ("label_colors.txt", "# from a tool\n0 0 0 Background\n10, 10, 200, tail\n200 10 10 head\n"),
        ("class_dict.csv", "name,r,g,b\nbackground,0,0,0\n,0,0,0\ntail,10,10,200\nhead,200,10,10\n"),
        ("class_dict_seg.csv", "name; r; g; b\ntail; 10; 10; 200\nhead; 200; 10; 10\n"),
    ],
)
def test_other_lists_of_colours_are_read_as_a_labelmap_is(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    Image.fromarray(coloured((0, 0, 0), RED, BLUE)).save(folder / "masks" / "a.png")
    assert np.array_equal(loaded(folder), INDEX) and names_of(folder / "masks") == ("tail", "head")


def test_lines_of_a_list_of_colours_that_cannot_be_are_told(tmp_path: Path) -> None:
    (tmp_path / "label_colors.txt").write_text("0 0 0 Void\n1 2 3 head\n1 2 3 tail\n4 5 tail\n")
    colours, problems = read_labelmap(tmp_path, PARTS)
    assert colours == ((255, (0, 0, 0)), (1, (1, 2, 3)))
    assert [p.message for p in problems] == [
        "line 3: 'head' and 'tail' have one colour",
        "line 4: is '4 5 tail', expected red green blue name",
        "names no background, and black is not labelled there: nothing says what is no part",
    ]


def test_numbers_beside_a_list_of_colours_in_another_order_are_refused(folder: Path) -> None:
    (folder / "labelmap.txt").write_text(LABELMAP)  # the tail comes first there
    Image.fromarray(INDEX).save(folder / "masks" / "a.png")
    with pytest.raises(BadInput, match="the list of colours has the parts in another order"):
        loaded(folder)
    (folder / "labelmap.txt").write_text("background:0,0,0::\nhead:200,10,10::\ntail:10,10,200::\n")
    assert np.array_equal(loaded(folder), INDEX)
    (folder / "labelmap.txt").write_text("background:0,0,0::\ntail:90,90,90::\nhead:180,180,180::\n")
    Image.fromarray(np.array([0, 180, 90], np.uint8)[INDEX]).save(folder / "masks" / "a.png")
    assert np.array_equal(loaded(folder), INDEX), "levels are colours, too"


def test_camvid_s_list_may_lie_above_the_folders_of_splits(tmp_path: Path) -> None:
    (tmp_path / "label_colors.txt").write_text("0 0 0 background\n10 10 200 tail\n200 10 10 head\n")
    (tmp_path / "gt" / "train").mkdir(parents=True)
    assert read_labelmap(tmp_path / "gt" / "train", PARTS)[0][1] == (2, BLUE)


def test_masks_that_begin_at_1_with_the_background_are_refused_until_the_source_says_so(folder: Path) -> None:
    Image.fromarray(INDEX + np.uint8(1)).save(folder / "masks" / "a.png")
    _, problems, _ = read_dataset(load_dataset_file(folder / "d.yaml"))
    (error,) = [p for p in problems if p.severity == "error"]
    assert "1 fills the borders of its masks, and nothing is 0" in error.message
    told = "colours: {background: 1, head: 2, tail: 3}"
    assert told in error.remedy and np.array_equal(loaded(folder, told), INDEX)


def test_masks_without_any_background_are_read_as_the_remedy_says(folder: Path) -> None:
    Image.fromarray(np.where(INDEX == 2, np.uint8(2), np.uint8(1))).save(folder / "masks" / "a.png")
    _, problems, _ = read_dataset(load_dataset_file(folder / "d.yaml"))
    (error,) = [p for p in problems if p.severity == "error"]
    told = "colours: {background: 0, head: 1, tail: 2}"
    assert f"if the masks are right as they are, `{told}`" in error.remedy
    assert np.array_equal(loaded(folder, told), np.where(INDEX == 2, 2, 1))


def test_names_in_a_remedy_are_in_quotes_where_yaml_needs_them() -> None:
    names = {"left wing": 1, "no": 2, "a: b": 3, "7": 4, "#1": 5, "höcker": 6, "y": 7, "x": 8}
    assert yaml.safe_load(written(names).strip("`"))["colours"] == names
