"""Folders that hold the same photographs as others, byte for byte: exports of one set of photographs bring copies."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from coarseparts.data.proposal.proposed_sources import ProposedSource


def without_copies(
    sources: Sequence[ProposedSource], photographs: Mapping[Path, Sequence[Path]], said: list[str]
) -> list[ProposedSource]:
    """The sources, labels of the photographs that another source of their split has under the same names in a folder of
    its own, being of those there; without sources that have no labels and hold copies, which may be in another split;
    which is ``said``. ``photographs``: the files in each folder."""
    files = {source.images: _below(source.images, photographs) for source in sources}
    found: list[ProposedSource] = []
    for source in sources:
        bare = not source.exports and not source.masks
        others = [one for one in (sources if bare else found) if one.images != source.images]
        others = [one for one in others if not bare or one.exports or one.masks]
        own = set(files[source.images].values())
        if bare and (count := len(own & with_copies({f for one in others for f in files[one.images].values()}, own))):
            rest = len(own) - count
            more = (
                f"; {rest} others are no copies: put them into a folder of their own to use them, too" if rest else ""
            )
            said.append(f"{source.images} holds {count} copies of photographs of {others[0].images}, passed over{more}")
            continue
        keys = {masks.key for masks in source.masks}  # of which a photograph has one
        fits = (one for one in others if not bare and one.split == source.split)
        same = [one.images for one in fits if keys.isdisjoint(masks.key for masks in one.masks)]
        held = next((images for images in same if _are_copies(files[source.images], files[images])), None)
        if held is not None:
            said.append(f"{source.images} holds the same photographs as {held}, and its labels are taken for those")
            source = replace(source, images=held)
        found.append(source)
    return found


def with_copies(chosen: Collection[Path], photographs: Iterable[Path]) -> set[Path]:
    """The chosen photographs, and those that are the same as one of these, byte for byte."""
    others = [file for file in photographs if file not in chosen]
    sizes = {_size(file) for file in chosen} & {_size(file) for file in others}
    known = {_digest(file) for file in chosen if _size(file) in sizes} - {None}
    return {*chosen, *(file for file in others if _size(file) in sizes and _digest(file) in known)}


def _below(images: Path, photographs: Mapping[Path, Sequence[Path]]) -> dict[str, Path]:
    """The photographs in a folder and below, by their relative paths."""
    own = [files for folder, files in photographs.items() if folder == images or images in folder.parents]
    return {file.relative_to(images).as_posix(): file for files in own for file in files}


def _are_copies(files: Mapping[str, Path], others: Mapping[str, Path]) -> bool:
    """Whether all files are among others under their names."""
    return bool(files) and files.keys() <= others.keys() and all(_same(files[name], others[name]) for name in files)


def _same(file: Path, other: Path) -> bool:
    return _size(file) == _size(other) and _digest(file) == _digest(other) is not None


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return -1


def _digest(file: Path) -> bytes | None:
    """None of a file that cannot be read, which is told where it is."""
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").digest()
    except OSError:
        return None
