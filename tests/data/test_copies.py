"""`coarseparts init` and photographs that lie in several folders: exports bring copies of them."""

from __future__ import annotations

import shutil

from test_proposal import ants, photographs, proposed

from coarseparts.data.check import check
from coarseparts.data.formats.document import Document
from coarseparts.data.formats.registry import write_export

KEYPOINTS, PARTS = (1,), (2, 3, 4)
"""Categories of the ants."""


def export(folder, categories: tuple[int, ...]) -> None:
    """A COCO file of some categories beside its photographs."""
    whole = ants()
    own = [entry for entry in whole.annotations if entry["category_id"] in categories]
    photographs(folder / "photos")
    write_export("coco", Document(whole.images, whole.categories, own), folder)


def test_exports_of_the_same_photographs_are_labels_of_one_folder(tmp_path):
    export(tmp_path / "pose", KEYPOINTS)
    export(tmp_path / "segment", PARTS)
    found, proposal = proposed(tmp_path, "pose", "segment")
    assert {source["images"] for source in found["sources"]} == {"pose/photos"}
    assert any("segment/photos holds the same photographs as" in line for line in proposal.assumed)
    counts = check(tmp_path / "d.yaml").splits
    assert [counts[split][what] for split in ("train", "val") for what in ("samples", "parts", "keypoints")] == (
        [5, 5, 5, 1, 1, 1]
    )


def test_other_photographs_of_the_same_names_stay_their_own(tmp_path):
    export(tmp_path / "pose", KEYPOINTS)
    export(tmp_path / "segment", PARTS)
    for file in (tmp_path / "segment" / "photos").iterdir():
        file.unlink()
    photographs(tmp_path / "others")
    shutil.copytree(tmp_path / "others", tmp_path / "segment" / "photos", dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "others")
    found, _ = proposed(tmp_path, "pose", "segment")
    assert {source["images"] for source in found["sources"]} == {"pose/photos", "segment/photos"}


def test_originals_beside_an_export_with_copies_are_passed_over(tmp_path):
    export(tmp_path / "export", (*KEYPOINTS, *PARTS))
    shutil.copytree(tmp_path / "export" / "photos", tmp_path / "originals")
    for file in (tmp_path / "originals").iterdir():
        file.rename(file.with_name(f"DSC{file.name}"))
    shutil.copy(tmp_path / "originals" / "DSC1.png", tmp_path / "originals" / "more.png")
    (tmp_path / "originals" / "more.png").write_bytes((tmp_path / "originals" / "DSC1.png").read_bytes() + b"\0")
    found, proposal = proposed(tmp_path, "originals", "export")
    assert {source["images"] for source in found["sources"]} == {"export/photos"}
    (told,) = [line for line in proposal.assumed if "originals holds 6 copies" in line]
    assert "1 others are no copies" in told


def test_a_folder_of_other_photographs_is_a_source_without_labels(tmp_path):
    export(tmp_path / "export", (*KEYPOINTS, *PARTS))
    photographs(tmp_path / "unlabelled")
    found, _ = proposed(tmp_path, "unlabelled", "export")
    assert {source["images"] for source in found["sources"]} == {"export/photos", "unlabelled"}
