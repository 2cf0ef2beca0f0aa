"""Names: which keypoints and mirror pairs a data set has, and what its samples are called.

A record is called after its image, the path in the image folder without the suffix; where an image shows several
objects, "-" and the annotation's id follow; where two sources have the same name, "s0/", "s1/", ... (the source's
position) goes before it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from coarseparts.data.dataset_file import DatasetFile, describe
from coarseparts.data.record import Record
from coarseparts.labels.schema import MOST_KEYPOINTS, Schema
from coarseparts.system.problems import SHOWN, Problem
from coarseparts.system.text import abridged, close_to, listed, short, strangers


def schema_of(
    dataset: DatasetFile, annotated: Collection[str], mirror: Sequence[tuple[str, str]] = ()
) -> tuple[Schema | None, list[Problem]]:
    """Names and mirror pairs: as the dataset file says, else all keypoints that the sources have (``annotated``) and
    the pairs of these that they name (``mirror``), if any. None where they contradict each other, which the problems
    say then."""
    file, problems = str(dataset.path), []
    keypoints = dataset.keypoints if dataset.keypoints is not None else tuple(annotated)
    if len(keypoints) > MOST_KEYPOINTS:
        message = f"keypoints: the sources have {len(keypoints):,}, expected at most {MOST_KEYPOINTS:,}"
        return None, [Problem(file, message, "list those that are meant under `keypoints`")]
    lacking = [name for name in keypoints if name not in annotated]
    spelled: dict[str, str] = {}
    for name in keypoints:
        other = spelled.setdefault(re.sub(r"[\W_]+", "", name).casefold() or name, name)
        if other != name:
            message = f"keypoints: {short(other, 60)} and {short(name, 60)} are taken for two"
            remedy = "if they are one, give them one name in all COCO files"
            problems.append(Problem(file, message, remedy, "note"))
    there = set(keypoints)
    left_out = [name for name in annotated if name not in there]
    for name, near in strangers(lacking, left_out) if annotated else ():
        # With names left over it is a spelling mistake, without it is a list made for more data than these.
        severity, remedy = ("error", near) if left_out else ("note", "")
        problems.append(Problem(file, f"keypoints: no source annotates {name}", remedy, severity))  # type: ignore[arg-type]
    if left_out:
        said = left_out.copy()
        for j, name in enumerate(left_out[:SHOWN]):
            close = close_to(name, keypoints)
            said[j] = abridged(name) + (f" (near {short(close, 60)})" if close else "")
        message = f"keypoints: {listed(said, SHOWN)} of the sources are not listed and left out"
        problems.append(Problem(file, message, "", "note"))
    pairs = {"mirror": (dataset.mirror, dataset.parts), "keypoint_mirror": (dataset.keypoint_mirror, keypoints)}
    chosen: dict[str, Any] = {}
    for key, (given, names) in pairs.items():
        chosen[key] = given if given is not None else mirror_pairs(names)
        told = tuple(pair for pair in mirror if set(pair) <= there) if key == "keypoint_mirror" else ()
        chosen[key] = told if given is None and told else chosen[key]
        if given is None and chosen[key]:
            taken = listed(f"{abridged(a)} - {abridged(b)}" for a, b in chosen[key])
            message = f"{key} is not given; taken from the {'labels' if told else 'names'}: {taken}"
            problems.append(Problem(file, message, f"write `{key}: []` if they shall not swap on a flip", "note"))
    try:
        return Schema(parts=dataset.parts, overlapping=dataset.overlapping, keypoints=keypoints, **chosen), problems
    except ValidationError as error:
        return None, problems + list(describe(error, file, Schema))


def mirror_pairs(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Names that differ in the word left or right alone: "left eye" and "right eye", but not "eye_L" and "eye_R"."""
    swapped = {name: re.sub(r"(?<![a-z])left(?![a-z])", "right", name, flags=re.IGNORECASE) for name in names}
    by_lower = {name.lower(): name for name in names}
    return tuple((a, by_lower[b.lower()]) for a, b in swapped.items() if a != b and b.lower() in by_lower)


def named_apart(records: list[Record]) -> list[Record]:
    """The records with names that are unique over the dataset."""
    sources: dict[str, set[int]] = defaultdict(set)
    for record in records:
        sources[record.name].add(record.source)
    seen: Counter[str] = Counter()
    named = []
    for record in records:
        name = f"s{record.source}/{record.name}" if len(sources[record.name]) > 1 else record.name
        seen[name] += 1
        name = name if seen[name] == 1 else f"{name}~{seen[name]}"
        named.append(record if record.name == name else replace(record, name=name))
    return named
