"""What a source of the dataset file may say, and how a sample is cropped: keys, their types, what goes together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    field_validator,
    model_serializer,
    model_validator,
)

from coarseparts.data.formats.units import Coordinates
from coarseparts.data.source_paths import OF_STYLES, PATHS, former, instead
from coarseparts.labels import STYLES
from coarseparts.system.text import listed, strangers

COLLECTED = ":styles"
"""Under which pydantic knows the keys of ``OF_STYLES``."""


def _no_truth(value: Any) -> Any:
    """YAML's "yes" and "no" are no numbers; pydantic would take them for 1 and 0."""
    if isinstance(value, bool):
        raise ValueError(f"got {str(value).lower()}, expected a number")
    return value


def _no_nothing(path: Any) -> Any:
    """An empty text names the folder that one is in."""
    if isinstance(path, str) and not path.strip():
        raise ValueError("is empty; write a path, or remove the key")
    return path


_COLOUR = {"type": ["string", "integer", "array"], "items": {"type": "integer"}}

Some = Annotated[Path, BeforeValidator(_no_nothing)]
Whole = Annotated[int, BeforeValidator(_no_truth)]


class Crop(BaseModel):
    """Which region of an image a sample shows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    to: Literal["object", "none"] = Field(default="object", description="object = its box, none = the whole image")
    margin: Annotated[float, BeforeValidator(_no_truth)] = Field(
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
    images: Some | None = Field(default=None, description="folder of photographs")
    part_masks: Some | None = Field(default=None, description="folder of PNGs, pixel value = part index, 255 = ignore")
    colours: dict[str, Annotated[Any, WithJsonSchema(_COLOUR)]] | None = Field(
        default=None,
        description="of part_masks: what stands for each part, background and ignore: '#ff0000', [255, 0, 0], or, for "
        "all of them, the number that the pixels hold; default: labelmap.txt, else 0 = background, 1.. = parts",
    )
    part_coco: Some | None = Field(
        default=None, description="COCO file with a category per part, instead of part_masks"
    )
    coco: Some | tuple[Some, ...] | None = Field(
        default=None,
        description="COCO file with keypoints, segmentation = figure-ground, bbox; or several, joined",
    )
    labels: Some | None = Field(
        default=None, description="export of an annotation tool: a file, folder or zip, its format told from content"
    )
    objects: tuple[str, ...] | None = Field(
        default=None,
        description="categories of coco or labels that are objects, others that are no parts being left out; default: "
        "all others",
    )
    of_styles: dict[str, Some] = Field(default_factory=dict, alias=COLLECTED, description="by key of OF_STYLES")
    join: Literal["place", "id", "none"] = Field(
        default="place",
        description="which annotations are one object: those of one group, and keypoints with the mask or box around "
        "them (default); id = of one group alone; none",
    )
    coordinates: Coordinates = Field(
        default=None,
        description="of label files: pixels, stated (of the sizes that the file states, scaled), relative (0..1), "
        "percent, or [width, height] of the images on which they were made; default: what the file tells",
    )
    suffix: str = Field(default="", description="what file names of masks and maps have behind the photograph's stem")
    only: Some | None = Field(default=None, description="text file of image names, one a line, to be used alone")
    synthetic: Literal["birds", "aircraft"] | None = Field(
        default=None, description="a built-in world, instead of files"
    )
    count: Whole | None = Field(default=None, ge=1, description="synthetic: how many images (default 1000)")
    first: Whole | None = Field(default=None, ge=0, description="synthetic: number of the first image (default 0)")
    seed: Whole | None = Field(default=None, ge=0, description="synthetic: seed (default 0)")
    parts: bool | None = Field(default=None, description="synthetic: whether the part masks are given (default true)")
    use: tuple[str, ...] | None = Field(
        default=None, description="coarse styles; default all, of synthetic sources all but part_boxes"
    )
    limit: Whole | None = Field(default=None, ge=1, description="the first N images by file name")
    unlabelled_keypoints: Literal["absent", "unknown"] = Field(
        default="absent",
        description="a keypoint of visibility 0 is absent = known not to be seen (default), or unknown",
    )
    visible: Literal[1, 2] = Field(
        default=2, description="visibility from which on a keypoint is visible: COCO's 2 (default), or 1: all labelled"
    )

    @model_validator(mode="before")
    @classmethod
    def _names_no_archive(cls, source: Any) -> Any:
        if isinstance(source, dict) and (key := former(source)):
            raise ValueError(instead(key, source[key], source.get("segmentations")))
        if not isinstance(source, dict):
            return source
        of_styles = {key: path for key, path in source.items() if key in OF_STYLES and path is not None}
        return {key: value for key, value in source.items() if key not in OF_STYLES} | {COLLECTED: of_styles}

    @field_validator("coordinates")
    @classmethod
    def _is_a_size(cls, value: Coordinates) -> Coordinates:
        if isinstance(value, tuple) and min(value) < 1:
            raise ValueError(f"got {list(value)}, expected [width, height] in pixels")
        return value

    @field_validator("use")
    @classmethod
    def _are_styles(cls, use: tuple[str, ...] | None) -> tuple[str, ...] | None:
        unknown = [f"{name} is no label style; {remedy}" for name, remedy in strangers(use or (), STYLES)]
        if unknown:
            raise ValueError("\n".join(unknown))
        return use

    @model_validator(mode="after")
    def _goes_together(self) -> Source:
        wrong = []
        given = [key for key in PATHS if key in self.of_styles or getattr(self, key, None) is not None]
        if self.synthetic is not None:
            wrong += [f"{key} and synthetic exclude each other; make them two sources" for key in given]
        else:
            if not set(given) - {"images", "only"} and not self.unlabelled:
                keys = listed(key for key in PATHS if key not in ("images", "only"))
                wrong.append(f"no labels; add one of {keys}, or synthetic: birds")
            elif self.images is None:
                wrong.append("images is missing; name the folder of the photographs")
            for key in ("count", "first", "seed", "parts"):
                if getattr(self, key) is not None:
                    wrong.append(
                        f"{key} belongs to synthetic sources; remove it" + ", or write limit" * (key == "count")
                    )
        if self.colours is not None and self.part_masks is None:
            wrong.append("colours belongs to part_masks; name their folder")
        if {"part_masks", "part_coco"} <= set(given):
            wrong.append("part_masks and part_coco exclude each other; make them two sources")
        if self.objects is not None and not {"labels", "coco"} & set(given):
            wrong.append("objects belongs to coco or labels; remove it")
        if {"labels", "coco"} <= set(given):
            wrong.append("labels and coco exclude each other: labels reads COCO, too; make them two sources")
        if wrong:
            raise ValueError("\n".join(wrong))  # one problem a line, taken apart again below
        return self

    @model_serializer(mode="wrap")
    def _as_written(self, usual: SerializerFunctionWrapHandler) -> dict[str, Any]:
        keys: dict[str, Any] = usual(self)
        return {key: value for key, value in keys.items() if key != "of_styles"} | keys.get("of_styles", {})

    @property
    def by_style(self) -> dict[str, Path]:
        """Folders and files of labels of one style, by style."""
        return {OF_STYLES[key]: path for key, path in self.of_styles.items()}

    @property
    def coco_files(self) -> tuple[Path, ...]:
        """The COCO files of objects."""
        return self.coco if isinstance(self.coco, tuple) else () if self.coco is None else (self.coco,)

    @property
    def unlabelled(self) -> bool:
        """Whether its images are given as training images without any label."""
        others = self.part_masks or self.part_coco or self.coco or self.labels or self.of_styles or self.synthetic
        return self.split == "train" and self.images is not None and not others

    @property
    def has_parts(self) -> bool:
        """Whether this source is meant to bring part masks, or may, as exports of tools do."""
        return bool(self.part_masks or self.part_coco or self.labels or (self.synthetic and self.parts is not False))
