"""Files beside index masks that name their numbers: used as they say, told, and never against `parts`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_proposal import masks, photographs, proposed

from coarseparts.data.dataset_file import load_dataset_file
from coarseparts.data.formats.index_names import index_names, numbers_named
from coarseparts.data.records import read_dataset

TABLE = "Pixel Value, Class\n0, background\n1, rump\n2, head\n"
LIST = "__ignore__\n_background_\nrump\nhead\n"


@pytest.mark.parametrize(("file", "text"), [("_classes.csv", TABLE), ("class_names.txt", LIST), ("classes.txt", LIST)])
def test_init_calls_the_parts_as_the_file_does(tmp_path: Path, file: str, text: str) -> None:
    photographs(tmp_path / "photos")
    masks(tmp_path / "masks")
    (tmp_path / ("masks" if file == "_classes.csv" else ".") / file).write_text(text)
    found, _ = proposed(tmp_path, "photos", "masks")
    assert found["parts"] == ["rump", "head"]


def test_a_list_that_may_begin_at_0_or_1_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("rump\nhead\n")
    assert index_names(tmp_path) == (None, {})


def read(folder: Path, parts: str, table: str = TABLE) -> tuple[list[int], list[str]]:
    """The pixels of the parts in a mask that holds 1 in 80 pixels and 2 in 40, and what is told."""
    photographs(folder / "photos", 1)
    (folder / "masks").mkdir()
    mask = np.zeros((30, 40), np.uint8)
    mask[5:13, 5:15], mask[13:17, 5:15] = 1, 2
    Image.fromarray(mask).save(folder / "masks" / "1.png")
    (folder / "masks" / "_classes.csv").write_text(table)
    (folder / "d.yaml").write_text(
        f"parts: [{parts}]\nsources: [{{split: train, images: photos, part_masks: masks}}]\ncrop: {{to: none}}"
    )
    records, problems, _ = read_dataset(load_dataset_file(folder / "d.yaml"))
    parts_of = [record.load()[0].parts for record in records]
    return [int((parts_of[0] == i).sum()) for i in (1, 2)] if parts_of else [], [str(one) for one in problems]


def test_the_numbers_are_what_the_file_says_and_not_the_order_of_parts(tmp_path: Path) -> None:
    areas, told = read(tmp_path, "Head, rump")
    assert areas == [40, 80] and any("says what the masks' numbers are: 1 is rump, 2 is Head" in one for one in told)


def test_where_it_agrees_nothing_is_told(tmp_path: Path) -> None:
    areas, told = read(tmp_path, "rump, head")
    assert areas == [80, 40] and not any("numbers" in one for one in told)


def test_names_in_another_language_leave_the_order_and_that_is_told(tmp_path: Path) -> None:
    areas, told = read(tmp_path, "Hinterleib, Kopf")
    assert areas == [80, 40] and any("names none of `parts`: 'rump', 'head'" in one for one in told)


def test_some_names_alone_are_an_error(tmp_path: Path) -> None:
    _, told = read(tmp_path, "rump, haed")
    assert any("'head' is not among `parts`; did you mean 'haed'?" in one for one in told)


@pytest.mark.parametrize(
    "labels", [{"background": 0, "rump": 1, "head": 2}, {"0": "background", "1": "rump", "2": "head"}]
)
def test_nnunet_s_file_names_the_numbers(tmp_path, labels):
    (tmp_path / "labelsTr").mkdir()
    (tmp_path / "dataset.json").write_text(json.dumps({"channel_names": {"0": "R"}, "labels": labels}))
    assert index_names(tmp_path / "labelsTr")[1] == {0: "background", 1: "rump", 2: "head"}
    numbers, (note,) = numbers_named(tmp_path / "labelsTr", ("head", "rump"))
    assert set(numbers) == {(0, (0,)), (2, (1,)), (1, (2,))} and note.severity == "note"
    for other in ("[1", '{"labels": 3}', '{"labels": {"a": [1, 2]}}', '{"images": []}'):
        (tmp_path / "dataset.json").write_text(other)
        assert index_names(tmp_path / "labelsTr") == (None, {})
