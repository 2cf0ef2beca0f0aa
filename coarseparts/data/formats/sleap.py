"""SLEAP projects (.slp), read through sleap-io: skeletons of animals in frames, masks and boxes where it has any."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from coarseparts.data.formats.annotation import leads_out
from coarseparts.data.formats.document import Document
from coarseparts.data.formats.document_builder import (
    DocumentBuilder,
    Keypoints,
    finite,
    head,
    plain_path,
    rle,
    told_apart,
)
from coarseparts.data.formats.outlines import bridged
from coarseparts.data.images import MAX_PIXELS
from coarseparts.system.lazy import Lazy
from coarseparts.system.problems import BadInput, Problem, unreadable
from coarseparts.system.text import abridged, reason, short

NAME = "SLEAP"

REMEDY = "save the project again in SLEAP"

NAMELESS = "animal"
"""The category of what has no name in SLEAP."""

MOST_BYTES = 2**31
"""Bytes of what a project holds besides its films."""

MOST_ENTRIES = 100_000
"""Groups and tables of a project."""

h5py, sleap_io = Lazy("h5py"), Lazy("sleap_io")


def recognises(path: Path) -> bool:
    """Whether a file is called .slp and begins as HDF5 does."""
    return path.suffix.lower() == ".slp" and head(path).startswith(b"\x89HDF\r\n\x1a\n")


def read(path: Path) -> Document:
    """What people labelled in a project; predictions count where nobody labelled anything. Raises BadInput, also where
    sleap-io is not installed."""
    labels = _loaded(path)
    builder = DocumentBuilder(path)
    labelled = any(_by_hand(one) for frame in labels.labeled_frames for one in (*frame.instances, *_figures(frame)))
    if not labelled and labels.labeled_frames:
        for _ in labels.labeled_frames:
            builder.pass_over("frames have predictions, and nobody labelled any: the predictions are used")
    names = {id(skeleton): skeleton.name or NAMELESS for skeleton in labels.skeletons}
    for skeleton in labels.skeletons:
        builder.category(names[id(skeleton)], skeleton.node_names)
    names_of = _names(labels)
    for frame in labels.labeled_frames:
        image = builder.image(_image(frame, names_of.get(id(frame.video), []), builder), _size(frame.video))
        if image is not None:
            _add(frame, image, labelled, names, builder)
    return builder.document(_mirror(labels))


def photographs_in(path: Path) -> Iterator[tuple[str, bytes]]:
    """The name and the bytes, as PNG, of each labelled frame that a project (.pkg.slp) holds itself, as ``read`` names
    them; without those that are there. Raises BadInput."""
    labels, builder = _loaded(path), DocumentBuilder(path)
    names_of = _names(labels)
    for frame in labels.labeled_frames:
        about = frame.video.backend_metadata
        name = _image(frame, names_of.get(id(frame.video), []), builder)
        if not about.get("has_embedded_images") or leads_out(name) or (path.parent / name).exists():
            continue
        try:
            film = sleap_io.Video.from_filename(str(path), dataset=about["dataset"])
            picture, file = np.asarray(film[frame.frame_idx]), io.BytesIO()
            Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).save(file, "PNG")
        except Exception as error:  # of whatever kind a damaged file makes sleap-io raise
            raise BadInput(
                Problem(str(path), f"frame {frame.frame_idx}: is damaged: {reason(error)}", REMEDY)
            ) from None
        yield name, file.getvalue()


def _names(labels: Any) -> dict[int, list[str]]:
    """What the images of each video are called, by its ``id()``; [] of a film."""
    paths = {id(video): [plain_path(name) for name in _sequence(video)] for video in labels.videos}
    apart = told_apart([path for own in paths.values() for path in own])
    return {video: [apart[path] for path, _ in own] for video, own in paths.items()}


def _loaded(path: Path) -> Any:
    """sleap-io's Labels, films unopened. Raises BadInput."""
    try:
        _refuse_unsafe(path)
        labels = sleap_io.load_slp(str(path), open_videos=False)
        for name in (name for one in labels.skeletons for name in (one.name or "", *one.node_names)):
            if not isinstance(name, str):
                raise ValueError(f"a node or skeleton is called {short(name)}, expected a text")
        return labels
    except ImportError:
        message = "is a project of SLEAP, which is read with sleap-io, and that is not installed"
        raise BadInput(Problem(str(path), message, "pip install 'coarseparts[formats]'")) from None
    except OSError as error:
        raise BadInput(unreadable(path, error, REMEDY)) from None
    except (BadInput, MemoryError):
        raise
    except Exception as error:  # of whatever kind a damaged file makes sleap-io raise
        raise BadInput(Problem(str(path), f"is damaged: {reason(error)}", REMEDY)) from None


def _refuse_unsafe(path: Path) -> None:
    """Raises BadInput for a file that leads to others, or holds more than any project does."""
    seen: set[int] = set()
    total = 0
    with h5py.File(path, "r") as file:
        groups = [file]
        while groups:
            group = groups.pop()
            for name in group:
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    raise BadInput(Problem(str(path), f"{abridged(name)} is a link, expected a table", REMEDY))
                entry = group[name]
                address = h5py.h5o.get_info(entry.id).addr
                if address in seen:
                    continue
                seen.add(address)
                if isinstance(entry, h5py.Group):
                    groups.append(entry)
                elif entry.external or entry.is_virtual:
                    raise BadInput(Problem(str(path), f"{abridged(name)} lies in another file", REMEDY))
                elif not group.name.startswith("/video"):  # embedded frames, which are not read
                    total += entry.size * entry.dtype.itemsize
                if total > MOST_BYTES or len(seen) > MOST_ENTRIES:
                    raise BadInput(Problem(str(path), f"holds more than {MOST_BYTES:,} bytes of labels", REMEDY))


def _figures(frame: Any) -> list[Any]:
    return [*frame.masks, *frame.bboxes, *frame.rois]


def _by_hand(labelled: Any) -> bool:
    """Whether a person made an animal's skeleton, or a mask or box, and no network."""
    return not (isinstance(labelled, sleap_io.PredictedInstance) or getattr(labelled, "is_predicted", False))


def _sequence(video: Any) -> list[str]:
    """The image files of a video; none where it is a film."""
    names = _source(video).filename
    return [str(name) for name in names] if isinstance(names, list) else []


def _source(video: Any) -> Any:
    """The video that the frames in a project were taken from."""
    while video.source_video is not None:
        video = video.source_video
    return video


def _image(frame: Any, names: list[str], builder: DocumentBuilder) -> str:
    """What a frame's image is called: as the ``names`` of its video's images say, or of a film FILM_frame_000012.png,
    as sleap-io writes frames out."""
    if 0 <= frame.frame_idx < len(names):
        return names[frame.frame_idx]
    film = plain_path(str(_source(frame.video).filename))[0].rpartition("/")[2].rpartition(".")[0]
    told = "frames are of films: expected as images called FILM_frame_000012.png, after the frame's number"
    builder.pass_over(told, "write the labelled frames out as images of these names")
    return f"{film}_frame_{int(frame.frame_idx):06d}.png"


def _size(video: Any) -> tuple[int, int] | None:
    """(width, height) of a video's frames, None where SLEAP does not say."""
    shape = video.shape
    return (int(shape[2]), int(shape[1])) if shape is not None and len(shape) == 4 and all(shape[1:3]) else None


def _mirror(labels: Any) -> Iterator[tuple[str, str]]:
    for skeleton in labels.skeletons:
        for symmetry in skeleton.symmetries:
            pair = sorted((node.name for node in symmetry.nodes), key=skeleton.node_names.index)
            if len(pair) == 2:
                yield pair[0], pair[1]


def _add(frame: Any, image: int, labelled: bool, names: dict[int, str], builder: DocumentBuilder) -> None:
    """Adds a frame's animals, and the masks, boxes and outlines that are theirs or nobody's."""
    instances = [one for one in frame.instances if _by_hand(one) or not labelled]
    figures = [figure for figure in _figures(frame) if _by_hand(figure) or not labelled]
    left = len(frame.instances) + len(_figures(frame)) - len(instances) - len(figures)
    if left:
        builder.pass_over("predictions are passed over: somebody labelled other animals or frames", number=left)
    if frame.label_images:
        builder.pass_over("images of labels are passed over", number=len(frame.label_images))
    groups = {id(one): f"instance {number}" for number, one in enumerate(instances, 1)}
    for figure in figures:
        owner = _owner(figure, instances)
        name = getattr(figure.category, "name", figure.category) or NAMELESS
        if owner is not None and name == NAMELESS:
            name = names.get(id(owner.skeleton), NAMELESS)
        try:
            said = _said(figure, frame, builder)
        except ValueError as error:
            builder.say(f"frame {frame.frame_idx}: {error}", "draw it again in SLEAP, or remove it")
            continue
        builder.add(image, name, **said, group=None if owner is None else groups[id(owner)])
    for one in instances:
        points = _keypoints(one, builder)
        if points:
            name = names.get(id(one.skeleton), NAMELESS)
            builder.add(image, name, keypoints=points, group=groups.get(id(one)))


def _owner(figure: Any, instances: list[Any]) -> Any:
    """The animal that a mask or box says it is of, or the one on the same track; None where it does not say."""
    if any(one is figure.instance for one in instances):
        return figure.instance
    on_track = [one for one in instances if one.track is not None and one.track is figure.track]
    return on_track[0] if len(on_track) == 1 else None


def _keypoints(instance: Any, builder: DocumentBuilder) -> Keypoints:
    found: Keypoints = {}
    places, seen = instance.points["xy"].tolist(), instance.points["visible"].tolist()
    for name, (x, y), visible in zip(instance.skeleton.node_names, places, seen, strict=True):
        if finite(x) is None or finite(y) is None:
            continue
        if visible:
            found[name] = (x, y, 2)
        else:
            builder.pass_over("keypoints are marked as not visible: they count as absent, as in SLEAP")
    return found


def _said(figure: Any, frame: Any, builder: DocumentBuilder) -> dict[str, Any]:
    """What a mask, box or outline is in COCO's terms. Raises ValueError."""
    if hasattr(figure, "rle_counts"):
        return {"segmentation": rle(_mask(figure, _size(frame.video)))}
    if hasattr(figure, "geometry"):
        return {"segmentation": _polygons(figure.geometry)}
    if figure.angle:
        builder.pass_over("boxes are turned: the upright box around each is used")
    corners = np.array(figure.corners, np.float64)
    low, high = corners.min(0), corners.max(0)
    if not np.isfinite(corners).all() or (high <= low).any():
        raise ValueError("a box without an area")
    return {"bbox": [*low.tolist(), *(high - low).tolist()]}


def _mask(figure: Any, size: tuple[int, int] | None) -> np.ndarray:
    """(H, W) bool mask of the whole frame; of its own extent where SLEAP does not say how large that is."""
    height, width = figure.image_extent
    left, top = (round(float(number)) for number in figure.offset)
    whole = size or (width + left, height + top)
    counts = np.asarray(figure.rle_counts, np.int64)
    if max(figure.height * figure.width, height * width, whole[0] * whole[1]) > MAX_PIXELS:
        raise ValueError(f"a mask of more than {MAX_PIXELS:,} pixels")
    if counts.sum() != figure.height * figure.width:
        raise ValueError(f"a broken mask: its runs add up to {counts.sum()} of {figure.height * figure.width} pixels")
    own = figure.data if (height, width) == (figure.height, figure.width) else figure.resampled(height, width).data
    mask = np.zeros((whole[1], whole[0]), bool)
    rows, columns = slice(max(top, 0), min(top + height, whole[1])), slice(max(left, 0), min(left + width, whole[0]))
    mask[rows, columns] = own[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    return mask


def _polygons(geometry: Any) -> list[list[float]]:
    """The pieces of a geometry, their holes kept along lines that enclose nothing. Raises ValueError where it has
    none."""
    pieces = [piece for piece in getattr(geometry, "geoms", [geometry]) if piece.geom_type == "Polygon"]
    if not pieces:
        raise ValueError(f"an outline of the kind {geometry.geom_type}, expected a polygon")
    rings = [[ring.coords[:-1] for ring in (piece.exterior, *piece.interiors)] for piece in pieces]
    corners = [bridged([[(float(x), float(y)) for x, y, *_ in ring] for ring in piece]) for piece in rings]
    return [[number for corner in path for number in corner] for path in corners]
