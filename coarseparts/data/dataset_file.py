"""The dataset file: a YAML file that says which images and labels there are and what their names mean."""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator, model_validator

from coarseparts.data.problems import BadInput, Problem
from coarseparts.data.schema import Schema

FOLDERS = ("images", "part_masks", "cub", "nabirds", "segmentations")
FILES = ("part_coco", "coco", "part_boxes", "only")
"""Keys of a source that name a folder, and those that name a file."""

STRIDE = 16
"""The networks' coarsest stride: the training size is a multiple of it."""


class Crop(BaseModel):
    """Which region of an image a sample shows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    to: Literal["object", "none"] = Field(default="object", description="object = its box, none = the whole image")
    margin: float = Field(
        default=0.1, ge=0, le=10, description="added on each side, as a share of the box's width and height"
    )

    @field_validator("to", mode="before")
    @classmethod
    def _null_is_none(cls, value: Any) -> Any:
        return "none" if value is None else value


class Source(BaseModel):
    """Some images of one split and their labels: part masks, coarse labels or both; or a synthetic world."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    split: Literal["train", "val", "test"] = Field(description="what the images are for")
    images: Path | None = Field(
        default=None, description="folder of photographs; with cub or nabirds, their images/ by default"
    )
    part_masks: Path | None = Field(default=None, description="folder of PNGs, pixel value = part index, 255 = ignore")
    part_coco: Path | None = Field(
        default=None, description="COCO file with a category per part, instead of part_masks"
    )
    coco: Path | None = Field(default=None, description="COCO file with keypoints, segmentation = figure-ground, bbox")
    part_boxes: Path | None = Field(
        default=None, description="COCO file with a category per part, of which the boxes (bbox) are a coarse label"
    )
    cub: Path | None = Field(
        default=None, description="CUB-200-2011 folder, instead of coco; its official split is kept, unless by only"
    )
    nabirds: Path | None = Field(
        default=None, description="NABirds folder, instead of coco; its official split is kept, unless by only"
    )
    segmentations: Path | None = Field(
        default=None, description="cub: folder of the figure-ground masks; default: segmentations/ beside its images"
    )
    only: Path | None = Field(
        default=None,
        description="text file of image names, one a line, to be used alone; with cub, nabirds whatever the split",
    )
    synthetic: Literal["birds", "aircraft"] | None = Field(
        default=None, description="a built-in world, instead of files"
    )
    count: int | None = Field(default=None, ge=1, description="synthetic: how many images (default 1000)")
    first: int | None = Field(default=None, ge=0, description="synthetic: number of the first image (default 0)")
    seed: int | None = Field(default=None, ge=0, description="synthetic: seed (default 0)")
    parts: bool | None = Field(default=None, description="synthetic: whether the part masks are given (default true)")
    use: tuple[Literal["keypoints", "mask", "box", "part_boxes"], ...] | None = Field(
        default=None, description="coarse styles; default all, of synthetic sources all but part_boxes"
    )
    limit: int | None = Field(default=None, ge=1, description="the first N images by file name")
    unlabelled_keypoints: Literal["absent", "unknown"] = Field(
        default="absent",
        description="a keypoint of visibility 0 is absent = known not to be seen (default), or unknown",
    )

    @model_validator(mode="after")
    def _goes_together(self) -> Source:
        wrong = []
        given = [key for key in (*FOLDERS, *FILES) if getattr(self, key) is not None]
        if self.synthetic is not None:
            wrong += [f"{key} and synthetic exclude each other; make them two sources" for key in given]
        else:
            if not set(given) - {"images", "segmentations", "only"}:
                wrong.append(
                    "no labels; add part_masks, part_coco, coco, part_boxes, cub or nabirds, or synthetic: birds"
                )
            elif self.image_folder is None:
                wrong.append("images is missing; name the folder of the photographs")
            for key in ("count", "first", "seed", "parts"):
                if getattr(self, key) is not None:
                    wrong.append(
                        f"{key} belongs to synthetic sources; remove it" + ", or write limit" * (key == "count")
                    )
            if self.segmentations is not None and self.cub is None:
                wrong.append("segmentations belongs to cub sources; remove it, or name their masks with coco")
        for one, other in (("part_masks", "part_coco"), ("coco", "cub"), ("coco", "nabirds"), ("cub", "nabirds")):
            if one in given and other in given:
                wrong.append(f"{one} and {other} exclude each other; make them two sources")
        if wrong:
            raise ValueError("\n".join(wrong))  # one problem a line, taken apart again below
        return self

    @property
    def image_folder(self) -> Path | None:
        """The folder of the photographs."""
        archive = self.cub or self.nabirds
        return self.images if self.images is not None or archive is None else archive / "images"

    @property
    def has_parts(self) -> bool:
        """Whether this source is meant to bring part masks."""
        return bool(self.part_masks or self.part_coco or (self.synthetic and self.parts is not False))


class DatasetFile(BaseModel):
    """What a dataset file says; paths are absolute or relative to the working folder (``load_dataset_file``
    resolves them against the file). Raises pydantic's ValidationError when made from wrong values."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    parts: tuple[str, ...] = Field(min_length=1, max_length=254, description="part names, index 1..P")
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
        default=None, description="keypoint: its part or null, for the point-sup baseline; default: by co-occurrence"
    )
    size: int = Field(default=256, ge=16, le=4096, description="training size, pixels")
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
        wrong = [f"{k!r} is not among `keypoints`; {nearest(k, points)}" for k in table if k not in points]
        unknown = dict.fromkeys(part for part in table.values() if part is not None and part not in self.parts)
        wrong += [f"{part!r} is not among `parts`; {nearest(part, self.parts)}" for part in unknown]
        if wrong:
            raise ValueError("\n".join(f"keypoint_parts: {line}" for line in wrong))
        return self


def load_dataset_file(path: str | Path) -> DatasetFile:
    """Read a dataset file; its paths come back joined to the file's folder, ``~`` expanded.

    Raises BadInput with everything that is wrong with it: unreadable, bad YAML, unknown or missing keys, wrong types,
    combinations that make no sense, files and folders that are not there.
    """
    path = Path(path)
    raw = _parse(path)
    problems: list[Problem] = []
    if isinstance(raw.get("sources"), list):
        raw = raw | {"sources": [_resolved(s, path.parent) if isinstance(s, dict) else s for s in raw["sources"]]}
        for i, source in enumerate(raw["sources"]):
            problems += _missing(path, i, source) if isinstance(source, dict) else []
    try:
        dataset = DatasetFile.model_validate(raw)
    except ValidationError as error:
        raise BadInput(problems + list(describe(error, str(path), DatasetFile))) from None
    if problems:
        raise BadInput(problems)
    dataset._path = path
    return dataset


def training_problems(dataset: DatasetFile) -> list[Problem]:
    """What would keep this dataset from training (an error), or make its result hard to judge (a note).

    Not part of ``load_dataset_file``, because a file of test images alone is good enough for evaluation.
    """
    problems = []
    if not any(s.split == "train" and s.has_parts for s in dataset.sources):
        remedy = "add part_masks or part_coco to a train source: the method needs a few images with part masks"
        problems.append(Problem(str(dataset.path), "no source of split train has part masks", remedy))
    held_out = "every fifth part-labelled training image is held out to choose the best epoch by"
    if not any(s.split == "val" for s in dataset.sources):
        remedy = f"{held_out}; to train on all of them, add a source {{split: val, ...}} with part masks"
        problems.append(Problem(str(dataset.path), "no source of split val", remedy, "note"))
    elif not any(s.split == "val" and s.has_parts for s in dataset.sources):
        remedy = f"{held_out}; to train on all of them, add part masks to a val source"
        problems.append(Problem(str(dataset.path), "no source of split val has part masks", remedy, "note"))
    return problems


class _Loader(yaml.SafeLoader):
    """YAML, but a key that stands twice is an error (plain YAML silently takes the last one)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen: set[str] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key is no plain text", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"key {key.value!r} stands twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _parse(path: Path) -> dict:
    try:
        raw = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise BadInput(Problem(str(path), f"cannot be read: {error.strerror}", "name an existing YAML file")) from None
    except UnicodeDecodeError:
        raise BadInput(Problem(str(path), "is not text in UTF-8", "save it as UTF-8")) from None
    except RecursionError:
        raise BadInput(
            Problem(str(path), "is nested too deeply", "write parts and sources as README.md does")
        ) from None
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError) as error:  # PyYAML: `!!int ""` and such
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        said = getattr(error, "problem", None) or " ".join(str(error).split())
        raise BadInput(Problem(str(path), f"is not valid YAML: {where}{said}", "correct that line")) from None
    if not isinstance(raw, dict):
        came = "nothing" if raw is None else f"a {type(raw).__name__}"
        remedy = "write at least `parts: [...]` and `sources: [...]`"
        raise BadInput(Problem(str(path), f"holds {came}, expected keys with values", remedy))
    return raw


def _resolved(source: dict, base: Path) -> dict:
    """The source with its paths joined to ``base``; a value that is no text is left for the model to refuse."""
    paths = {k: v for k, v in source.items() if k in FOLDERS + FILES and isinstance(v, str)}
    return source | {k: base / _expanded(v) for k, v in paths.items()}


def _expanded(path: str) -> str:
    """With ``~`` replaced; as it stands where no such user is known, so that it is told as a path that is not there."""
    try:
        return os.path.expanduser(path)
    except ValueError:  # a null byte
        return path


def kind(path: Path) -> Literal["folder", "file", "other"] | None:
    """What lies at a path, None if nothing does. Raises OSError where that cannot be told: no right to look, a name
    that is too long."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a name that no file can have
        return None
    return "folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "other"


def _missing(path: Path, i: int, source: dict) -> Iterator[Problem]:
    for key in FOLDERS + FILES:
        target = source.get(key)
        if not isinstance(target, Path):
            continue
        what = "folder" if key in FOLDERS else "file"
        try:
            found = kind(target)
            came = "" if found == what else f"is not a {what}" if found else "does not exist"
        except OSError as error:
            came = f"cannot be read: {error.strerror}"
        if came:
            remedy = f"name a {what}; paths are relative to the YAML file"
            yield Problem(str(path), f"sources[{i}].{key}: {target} {came}", remedy)


def nearest(name: str, known: Iterable[str]) -> str:
    """``did you mean 'x'?`` when something similar is known, else the list of what is known."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(known)}"


def describe(error: ValidationError, file: str, model: type[BaseModel]) -> Iterator[Problem]:
    """Pydantic's findings as problems of ``file``: where in it, what came, what was expected."""
    for found in error.errors():
        where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in found["loc"]).lstrip(".")
        kind, value = found["type"], found["input"]
        if kind == "extra_forbidden":
            keys = _keys(model, found["loc"][:-1])
            yield Problem(file, f"{where}: unknown key", nearest(str(found["loc"][-1]), keys))
        elif kind == "missing":
            yield Problem(file, f"{where}: is missing", "add it")
        elif kind == "value_error":
            for line in str(found["ctx"]["error"]).splitlines():
                yield Problem(file, f"{where}: {line}" if where else line)
        else:
            came = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
            remedy = "write it in quotes" if kind == "string_type" and not isinstance(value, dict | list) else ""
            yield Problem(file, f"{where}: got {came}; {found['msg'].lower()}", remedy)


def _keys(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """The keys that are known at a place of the file."""
    inner: dict[str, type[BaseModel]] = {"sources": Source, "crop": Crop}
    if loc:
        model = inner.get(str(loc[0]), model)
    return list(model.model_fields)
