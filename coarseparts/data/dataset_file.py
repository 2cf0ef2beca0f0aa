"""The dataset file: a YAML file that says which images and labels there are and what their names mean."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from coarseparts.data.formats.colours import declared
from coarseparts.data.source_keys import COLLECTED, Crop, Source, Whole
from coarseparts.data.source_paths import OF_STYLES, former, missing, resolved
from coarseparts.labels.schema import MOST_KEYPOINTS, MOST_PARTS, Schema
from coarseparts.system.documents import DocumentError, load_yaml
from coarseparts.system.problems import BadInput, Problem, capped, unreadable
from coarseparts.system.text import abridged, close_to, listed, nearest, short, strangers

STRIDE = 16
"""The networks' coarsest stride: the training size is a multiple of it."""

MOST_SOURCES = 1000
"""Sources of a dataset file."""

_MOST = {"parts": MOST_PARTS, "keypoints": MOST_KEYPOINTS, "keypoint_parts": MOST_KEYPOINTS, "sources": MOST_SOURCES}

MOST_FINDINGS = 100
"""Mistakes of a dataset file that are told."""


class DatasetFile(BaseModel):
    """What a dataset file says; paths are absolute or relative to the working folder (``load_dataset_file``
    resolves them against the file). Raises pydantic's ValidationError when made from wrong values."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    parts: tuple[str, ...] = Field(min_length=1, description="part names, index 1..P")
    overlapping: bool = Field(
        default=False, description="true: parts may overlap; part_masks then has a folder of PNGs for each part"
    )
    mirror: tuple[tuple[str, str], ...] | None = Field(
        default=None, description="pairs of part names that swap on a flip; default: from left/right in the names"
    )
    keypoints: tuple[str, ...] | None = Field(
        default=None, description="keypoint names; default: all that the sources have"
    )
    keypoint_mirror: tuple[tuple[str, str], ...] | None = Field(default=None, description="likewise for keypoint names")
    keypoint_parts: dict[str, str | None] | None = Field(
        default=None,
        description="keypoint: its part or null, for the point-sup baseline; default: by co-occurrence",
    )
    size: Whole = Field(default=256, ge=16, le=4096, description="training size, pixels")
    crop: Crop = Field(default=Crop(), description="which region of an image a sample shows")
    across_splits: Literal["refuse", "keep"] = Field(
        default="refuse", description="an image that stands in two splits is an error (default), or kept in both"
    )
    sources: tuple[Source, ...] = Field(min_length=1, description="where images and labels are")

    _path: Path | None = PrivateAttr(None)

    @property
    def path(self) -> Path:
        """The YAML file, for messages; "dataset" if there is none."""
        return self._path or Path("dataset")

    @field_validator(*_MOST, mode="before")
    @classmethod
    def _few_enough(cls, value: Any, info: ValidationInfo) -> Any:
        # before each of them is looked at: pydantic's own limit counts those that are right
        most = _MOST[str(info.field_name)]
        if isinstance(value, list | tuple | dict) and len(value) > most:
            raise ValueError(f"{len(value):,} are too many, expected at most {most:,}")
        return value

    @field_validator("size")
    @classmethod
    def _fits_the_networks(cls, size: int) -> int:
        if size % STRIDE:
            below = size - size % STRIDE
            raise ValueError(f"got {size}, expected a multiple of {STRIDE}; write {below} or {below + STRIDE}")
        return size

    @model_validator(mode="after")
    def _names_fit(self) -> DatasetFile:
        # The same rules as the schema's, as early as they can be checked: without `keypoints` the names come later.
        keypoints, pairs = ((), ()) if self.keypoints is None else (self.keypoints, self.keypoint_mirror or ())
        try:
            Schema(
                parts=self.parts,
                overlapping=self.overlapping,
                mirror=self.mirror or (),
                keypoints=keypoints,
                keypoint_mirror=pairs,
            )
        except ValidationError as error:
            raise ValueError("\n".join(p.message for p in describe(error, "", Schema))) from None
        table = self.keypoint_parts or {}
        points = table if self.keypoints is None else self.keypoints
        wrong = [f"{name} is not among `keypoints`; {remedy}" for name, remedy in strangers(table, points)]
        parts = dict.fromkeys(part for part in table.values() if part is not None)
        wrong += [f"{name} is not among `parts`; {remedy}" for name, remedy in strangers(parts, self.parts)]
        wrong = [f"keypoint_parts: {line}" for line in wrong] + self._wrong_colours()
        if wrong:
            raise ValueError("\n".join(wrong))
        return self

    def _wrong_colours(self) -> list[str]:
        """What is wrong with the sources' colours, a line each."""
        given = {
            f"sources[{i}].colours": each for i, one in enumerate(self.sources) if (each := one.colours) is not None
        }
        if self.overlapping:
            return [f"{key}: parts that overlap need a folder of masks for each; remove it" for key in given]
        return [f"{key}: {line}" for key, colours in given.items() for line in declared(colours, self.parts)[1]]


def load_dataset_file(path: str | Path) -> DatasetFile:
    """Read a dataset file; its paths come back joined to the file's folder, ``~`` expanded.

    Raises BadInput with everything that is wrong with it: unreadable, bad YAML, unknown or missing keys, wrong types,
    combinations that make no sense, files and folders that are not there.
    """
    path = Path(path)
    raw = _parse(path)
    problems: list[Problem] = []
    if isinstance(raw.get("sources"), list) and len(raw["sources"]) <= MOST_SOURCES:
        raw = raw | {"sources": [resolved(s, path.parent) if isinstance(s, dict) else s for s in raw["sources"]]}
        for i, source in enumerate(raw["sources"]):
            problems += missing(path, i, source) if isinstance(source, dict) and not former(source) else []
    try:
        dataset = DatasetFile.model_validate(raw)
    except ValidationError as error:
        raise BadInput(capped(problems) + list(describe(error, str(path), DatasetFile))) from None
    if problems:
        raise BadInput(capped(problems))
    dataset._path = path
    return dataset


def training_problems(dataset: DatasetFile, found: Collection[str] = ()) -> list[Problem]:
    """What would keep this dataset from training (an error), or make its result hard to judge (a note). ``found``: the
    splits for which part masks are known to be there, though no key of a source says so.

    Not part of ``load_dataset_file``, because a file of test images alone is good enough for evaluation.
    """
    problems = []
    if "train" not in found and not any(s.split == "train" and s.has_parts for s in dataset.sources):
        remedy = "add part_masks or part_coco to a train source: the method needs a few images with part masks"
        problems.append(Problem(str(dataset.path), "no source of split train has part masks", remedy))
    held_out = "every fifth part-labelled training image is held out to choose the best epoch by"
    if not any(s.split == "val" for s in dataset.sources):
        remedy = f"{held_out}; to train on all of them, add a source {{split: val, ...}} with part masks"
        problems.append(Problem(str(dataset.path), "no source of split val", remedy, "note"))
    elif "val" not in found and not any(s.split == "val" and s.has_parts for s in dataset.sources):
        remedy = f"{held_out}; to train on all of them, add part masks to a val source"
        problems.append(Problem(str(dataset.path), "no source of split val has part masks", remedy, "note"))
    return problems


_INIT = "make one of photographs and labels: coarseparts init"


def _parse(path: Path) -> dict:
    if path.is_dir():
        run = (path / "config.yaml").is_file()
        remedy = "name the one that it was trained on: `data` in its config.yaml" if run else f"{_INIT} {path}"
        came = f"is a {'run folder' if run else 'folder'}, expected a dataset file (YAML)"
        raise BadInput(Problem(str(path), came, remedy))
    try:
        raw = load_yaml(path)
    except OSError as error:
        raise BadInput(unreadable(path, error, "name an existing YAML file")) from None
    except DocumentError as error:
        raise BadInput(Problem(str(path), str(error), f"name a dataset file (YAML), or {_INIT}")) from None
    if not isinstance(raw, dict):
        came = "nothing" if raw is None else "a list" if isinstance(raw, list) else "a mere value"
        remedy = "write at least `parts: [...]` and `sources: [...]`"
        raise BadInput(Problem(str(path), f"holds {came}, expected keys with values", remedy))
    if isinstance(raw.get("settings"), dict) and isinstance(raw.get("data"), str):
        remedy = f"name the dataset file of that run: {short(raw['data'], 200)}"
        raise BadInput(Problem(str(path), "is what a run was trained with, expected a dataset file", remedy))
    keys = [*DatasetFile.model_fields]
    if raw and not any(str(key) in keys or close_to(str(key), keys) for key in raw):
        came = f"has the keys {listed(map(abridged, map(str, raw)), 4)}, and none of a dataset file"
        raise BadInput(Problem(str(path), came, f"{_INIT} PHOTOGRAPHS {path}"))
    return raw


def describe(error: ValidationError, file: str, model: type[BaseModel]) -> Iterator[Problem]:
    """Pydantic's findings as problems of ``file``: where in it, what came, what was expected; of very many some."""
    all_of = error.errors(include_url=False)
    for found in all_of[:MOST_FINDINGS]:
        place = (f"[{p}]" if isinstance(p, int) else f".{abridged(p)}" for p in found["loc"] if p != COLLECTED)
        where, kind, value = "".join(place).lstrip("."), found["type"], found["input"]
        if kind == "extra_forbidden":
            keys = _keys(model, found["loc"][:-1])
            yield Problem(file, f"{where}: unknown key", nearest(str(found["loc"][-1]), keys))
        elif kind == "too_short" and len(value) >= found["ctx"]["min_length"]:
            pass  # those that are left when the wrong ones are gone
        elif kind == "missing":
            yield Problem(file, f"{where}: is missing", "add it")
        elif kind == "value_error":
            for line in str(found["ctx"]["error"]).splitlines():
                yield Problem(file, f"{where}: {line}" if where else line)
        elif kind == "too_long":
            most = found["ctx"]["max_length"]
            yield Problem(file, f"{where}: {len(value):,} are too many, expected at most {most:,}")
        else:
            remedy = "write it in quotes" if kind == "string_type" and not isinstance(value, dict | list) else ""
            yield Problem(file, f"{where}: got {short(value, 60)}; {found['msg'].lower()}", remedy)
    if (left := len(all_of) - MOST_FINDINGS) > 0:
        yield Problem(file, f"and {left:,} more mistakes", "correct those above first")


def _keys(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """The keys that are known at a place of the file."""
    inner: dict[str, type[BaseModel]] = {"sources": Source, "crop": Crop}
    if loc:
        model = inner.get(str(loc[0]), model)
    return [key for key in model.model_fields if key != "of_styles"] + [*OF_STYLES] * (model is Source)
