"""Several folders of masks of the same photographs, of which a source can name one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from coarseparts.data.arrays import ARRAYS
from coarseparts.data.images import list_images, stem
from coarseparts.data.namesakes import behind
from coarseparts.data.proposal.masks import Masks


def one_of_each(found: Sequence[Masks], stems: Mapping[Path, Collection[str]], said: list[str]) -> list[Masks]:
    """The folders of masks without those that have masks of the kind and of a photograph of which another one has some:
    of these the first whose parts have names is left, or the first, which is ``said``; but none of silhouettes, which
    may be parts. ``stems``: of the photographs in each folder."""
    kept: dict[int, tuple[Masks, set[str]]] = {}
    doubtful: dict[int, Masks] = {}
    for number, one in sorted(enumerate(found), key=lambda pair: not pair[1].parts):
        own = _photographs(one, stems.get(one.images, ()))
        alike = [
            at for at, (other, of) in kept.items() if (other.key, other.images) == (one.key, one.images) and own & of
        ]
        if not alike:
            kept[number] = one, own
            continue
        other = kept[alike[0]][0]
        if one.key == "masks":
            doubtful[alike[0]] = other
        said.append(f"{one.folder} has masks of the photographs of which {other.folder} has some, passed over")
    said += [
        f"{one.folder} is passed over, too, for either may be the silhouettes: name it by masks if it is; if they are "
        "parts, put their folders into one folder, without the photographs"
        for one in doubtful.values()
    ]
    return [kept[number][0] for number in sorted(kept) if number not in doubtful]


def _photographs(masks: Masks, stems: Collection[str]) -> set[str]:
    """The stems of photographs after which the files of a folder of masks, or the folders in it, are called; what the
    files themselves are called where it is none."""
    found = set()
    for name, _ in list_images(masks.folder, ARRAYS):
        *folders, own = stem(name).split("/")
        if masks.folder == masks.images and not folders and not masks.suffix:
            continue  # the photograph itself
        if masks.suffix and not own.endswith(masks.suffix):
            continue
        end = behind(own, stems)
        of_folder = next((folder for folder in reversed(folders) if folder in stems), own.removesuffix(masks.suffix))
        found.add(of_folder if end is None else own[: len(own) - len(end)])
    return found
