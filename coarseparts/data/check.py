"""The doctor: what is in a data set, and what is wrong or odd with it."""

from __future__ import annotations

import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from coarseparts.data import accounts
from coarseparts.data.accounts import Account
from coarseparts.data.build import load_all
from coarseparts.data.dataset_file import DatasetFile, load_dataset_file
from coarseparts.data.images import orientation
from coarseparts.data.loading import AGREEMENT
from coarseparts.data.records import Record, read_contents, without_part_masks
from coarseparts.data.sample import Sample
from coarseparts.data.store_files import LABELS
from coarseparts.labels import STYLES
from coarseparts.labels.mask import HALF
from coarseparts.labels.schema import IGNORE, Schema
from coarseparts.system.files import path_of
from coarseparts.system.problems import Problem, capped, counted, errors
from coarseparts.system.text import readable

OFF_MASK = 0.03
"""A keypoint farther from the figure-ground mask than this share of the sample's side counts as outside of it: the
tip of a beak or a leg is often clicked just beyond the outline."""

TINY = 4
"""A part of fewer pixels than this at training size, in half of the samples that show it, can hardly be learned."""

_KEYPOINT_COUNTS = ("visible", "hidden", "absent", "not_annotated", "visible_with_mask", "off_mask")


@dataclass
class CheckReport:
    """What ``check`` found; measured after crop and resize, as training sees it.

    ``splits``, ``sources``: counts of samples, distinct images, each label, and samples that could not be read;
    ``accounts``: of each source's images.
    ``part_share``: percent of the labelled pixels, by split and part (with background); ``part_samples``: how many
    samples show the part. ``keypoints``: counts by split and name. ``sizes``: least, median and greatest "width" and
    "height" of the images and "crop" side in their pixels. ``problems``: each with a ``file``, a ``message``, a
    ``remedy`` and a ``severity`` ("error", "repaired" or "note"). ``samples``: some samples at training size, for
    ``report.contact_sheet``.
    """

    file: str
    schema: Schema
    size: int
    splits: dict[str, dict[str, int]]
    sources: dict[str, dict[str, int]]
    accounts: list[Account]
    part_share: dict[str, dict[str, float]]
    part_samples: dict[str, dict[str, int]]
    keypoints: dict[str, dict[str, dict[str, int]]]
    sizes: dict[str, list[float]]
    enlarged: int
    problems: list[Problem]
    samples: list[Sample] = field(repr=False)

    @property
    def errors(self) -> list[Problem]:
        """The problems that keep something from being used."""
        return errors(self.problems)

    def to_json(self) -> str:
        """Everything but the samples, as one JSON object."""
        facts = {k: v for k, v in vars(self).items() if k not in ("schema", "samples", "problems")}
        problems = [asdict(p) | {"file": readable(p.file), "message": readable(p.message)} for p in self.problems]
        facts["accounts"] = {account.name: account.facts() for account in self.accounts}
        facts |= {"schema": self.schema.model_dump(mode="json"), "problems": problems}
        return json.dumps(facts, indent=1)

    def to_text(self) -> Group:
        """Tables and a list of problems for ``rich.console.Console.print``; alike problems are cut short at 20."""
        blocks: list[Any] = [_counts_table(self), *_account_lines(self), *_size_lines(self)]
        if self.part_share:
            blocks.append(_parts_table(self))
        if self.keypoints and self.schema.keypoints:
            blocks.append(_keypoints_table(self))
        for severity, title, style in (
            ("error", "errors, cannot be used", "bold red"),
            ("repaired", "repaired while reading", "yellow"),
            ("note", "worth a look", "cyan"),
        ):
            found = [p for p in self.problems if p.severity == severity]
            if found:
                blocks.append(Text(f"\n{title}: {counted(found)}", style=style))
                blocks += [Text(f"  {p}") for p in capped(found)]
        if not self.problems:
            blocks.append(Text("\nno problems found", style="green"))
        return Group(*blocks)


def check(
    path: str | os.PathLike[str] | DatasetFile,
    progress: Callable[[int, int], None] | None = None,
    samples: int = 24,
) -> CheckReport:
    """Read every image of a data set once and say what is in it and what is wrong. Nothing is kept on disk.

    ``path``: of a dataset file, or one that is read already. ``progress(done, total)`` is called after each image;
    ``samples``: how many to keep for the contact sheet, spread evenly over the sources. Problems of single images do
    not stop it. Raises BadInput where the dataset file cannot be read, or its sources' keypoint names contradict each
    other, so that there is no schema to go by.

        report = coarseparts.check("ants.yaml")
        for problem in report.errors:
            print(problem.file, problem.message, problem.remedy)
    """
    dataset = path if isinstance(path, DatasetFile) else load_dataset_file(path_of("path", path))
    training = any(source.split == "train" for source in dataset.sources)
    contents = read_contents(dataset, for_training=training)
    records, problems, schema = contents.records, contents.problems, contents.schema
    shown = _spread(records, samples)
    tally = _Tally(schema, dataset.size)
    kept, turned = [], Counter[int]()
    for done, loaded in enumerate(load_all(records, dataset.size), 1):
        problems += loaded.problems
        if loaded.arrays is None:
            tally.unreadable(loaded.record)
            contents.leave_out(loaded.record)
        else:
            problems += tally.add(loaded.record, loaded.arrays)
            turned[orientation(loaded.record.image) if loaded.record.image else 1] += 1
            if done - 1 in shown:
                labels = {name: label for name in STYLES if (label := loaded.arrays[name]) is not None}
                title = f"{loaded.record.split}: {loaded.record.name}"
                kept.append(Sample(title, loaded.arrays["image"], loaded.arrays["parts"], labels))  # type: ignore[arg-type]
        if progress is not None:
            progress(done, len(records))
    del turned[1]
    if turned:
        kinds = ", ".join(f"{count} by EXIF orientation {kind}" for kind, count in sorted(turned.items()))
        message = f"{turned.total()} samples are of photographs that are turned upright: {kinds}"
        remedy = "their labels are taken to be of the upright image: look at the contact sheet, whether they are"
        problems.append(Problem(str(dataset.path), message, remedy, "note"))
    of_split = {
        label: {split: counts[label] for split, counts in tally.splits.items()} for label in ("samples", "parts")
    }
    problems += without_part_masks(dataset, contents)
    problems += accounts.empty_splits(dataset, of_split["samples"], of_split["parts"])
    problems += accounts.unseen_keypoints(dataset, schema, tally.shown())
    return tally.report(str(dataset.path), problems, kept, contents.accounts)


def _spread(records: list[Record], count: int) -> set[int]:
    """Positions of about ``count`` records, as many of each source as of any other, evenly from each."""
    by_source: dict[int, list[int]] = defaultdict(list)
    for i, record in enumerate(records):
        by_source[record.source].append(i)
    chosen: set[int] = set()
    for left, rows in zip(range(len(by_source), 0, -1), sorted(by_source.values(), key=len), strict=True):
        share = min(len(rows), -(-(count - len(chosen)) // left))  # small sources first: what they lack goes to others
        chosen |= {rows[int((k + 0.5) * len(rows) / share)] for k in range(share)}
    return chosen


class _Tally:
    """Running counts, so that memory does not grow with the images."""

    def __init__(self, schema: Schema, size: int):
        self.schema, self.size = schema, size
        names = ("samples", "images", *LABELS, "unreadable")
        self.splits: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(names, 0))
        self.sources: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(names, 0))
        self.images: set[tuple[str, object]] = set()
        self.pixels: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(schema.channels, np.int64))
        self.showing: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(schema.channels, np.int64))
        self.known: dict[str, int] = defaultdict(int)
        self.tiny = np.zeros(schema.channels, np.int64)
        shape = (len(schema.keypoints), len(_KEYPOINT_COUNTS))
        self.keypoints: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(shape, np.int64))
        self.native: list[tuple[float, float, float]] = []
        part_side = {_side(name): i for i, name in enumerate(schema.parts, 1)}
        other = {"left": "right", "right": "left"}
        self.own = {k: part_side.get(_side(name)) for k, name in enumerate(schema.keypoints)}
        self.mirrored = {
            k: part_side.get((other[side], rest))
            for k, (side, rest) in enumerate(map(_side, schema.keypoints))
            if side in other
        }
        self.on_own = self.on_mirrored = 0

    def unreadable(self, record: Record) -> None:
        for counts in (self.splits[record.split], self.sources[_source(record)]):
            counts["unreadable"] += 1

    def add(self, record: Record, arrays: dict[str, np.ndarray | None]) -> list[Problem]:
        """Count one sample; notes of what is odd about it."""
        for where, counts in ((record.split, self.splits[record.split]), ("", self.sources[_source(record)])):
            counts["samples"] += 1
            image = (where or _source(record), record.image or record.synthetic)
            counts["images"] += image not in self.images
            self.images.add(image)
            for label in LABELS:
                counts[label] += arrays[label] is not None
        crop, native = arrays["crop"], arrays["native"]
        assert crop is not None and native is not None
        self.native.append((float(native[0]), float(native[1]), float(crop[2] - crop[0])))
        parts, mask, keypoints = arrays["parts"], arrays["mask"], arrays["keypoints"]
        messages = []
        if parts is not None:
            shown = [self.schema.maps.shows(parts, index).sum() for index in range(1, self.schema.channels)]
            pixels = np.array([(parts == 0).sum(), *shown])  # parts that overlap share pixels
            self.pixels[record.split] += pixels
            self.known[record.split] += int((parts != IGNORE).sum())
            self.showing[record.split] += pixels > 0
            self.tiny += (pixels > 0) & (pixels < TINY)
        if parts is not None and mask is not None:
            agreement, message = self.schema.maps.agreement(parts, mask >= HALF)
            if agreement < AGREEMENT:
                messages.append((message, "do both belong to this object?"))
        if keypoints is not None:
            messages += self._add_keypoints(self.keypoints[record.split], keypoints, mask)
        if keypoints is not None and parts is not None:
            messages += self._sides(keypoints, parts)
        file = str(record.image or record.name)
        return [Problem(file, f"{record.name}: {message}", remedy, "note") for message, remedy in messages]

    def _add_keypoints(
        self, counts: np.ndarray, keypoints: np.ndarray, mask: np.ndarray | None
    ) -> list[tuple[str, str]]:
        for column, v in enumerate((2, 1, 0, -1)):
            counts[:, column] += keypoints[:, 2] == v
        if mask is None or not (mask >= 128).any():
            return []
        visible = keypoints[:, 2] == 2
        off = visible & ~_near(keypoints[:, :2], mask >= 128, OFF_MASK * self.size)
        counts[:, 4] += visible
        counts[:, 5] += off
        if visible.sum() >= 3 and off.sum() * 2 > visible.sum():
            remedy = "do they belong to this image and this object?"
            return [(f"{off.sum()} of {visible.sum()} visible keypoints lie outside the figure-ground mask", remedy)]
        return []

    def _sides(self, keypoints: np.ndarray, parts: np.ndarray) -> list[tuple[str, str]]:
        messages = []
        for k, mirrored in self.mirrored.items():
            (x, y, v), side = keypoints[k], self.own[k]
            if v == 2 and mirrored is not None and side is not None:
                there = parts[int(y), int(x)]
                own, other = (bool(self.schema.maps.shows(there, part)) for part in (side, mirrored))
                self.on_own += own
                self.on_mirrored += other and not own
                if other and not own:
                    message = f"keypoint {self.schema.keypoints[k]!r} lies on part {self.schema.parts[mirrored - 1]!r}"
                    messages.append((message, "left and right are the object's own; one of the two is swapped"))
        return messages

    def shown(self) -> np.ndarray:
        """(K,) bool: which keypoints an image shows, visible or hidden."""
        counts = sum(self.keypoints.values(), np.zeros((len(self.schema.keypoints), len(_KEYPOINT_COUNTS)), np.int64))
        shown: np.ndarray = np.any(counts[:, :2], 1)
        return shown

    def report(self, file: str, problems: list[Problem], samples: list[Sample], accounts: list[Account]) -> CheckReport:
        notes = [Problem(file, message, remedy, "note") for message, remedy in self._of_all()]
        names = ("background", *self.schema.parts)
        share, seen = {}, {}
        for split, pixels in self.pixels.items():
            labelled = max(self.known[split], 1)
            share[split] = {name: round(100 * int(pixels[i]) / labelled, 3) for i, name in enumerate(names)}
            seen[split] = {name: int(self.showing[split][i]) for i, name in enumerate(names)}
        keypoints = {
            split: {
                name: dict(zip(_KEYPOINT_COUNTS, row.tolist(), strict=True))
                for name, row in zip(self.schema.keypoints, counts, strict=True)
            }
            for split, counts in self.keypoints.items()
        }
        native = np.array(self.native, np.float64).reshape(-1, 3)
        spread = np.percentile(native, [0, 50, 100], axis=0).round(1).T.tolist() if len(native) else []
        return CheckReport(
            file=file,
            schema=self.schema,
            size=self.size,
            splits=dict(self.splits),
            sources=dict(self.sources),
            accounts=accounts,
            part_share=share,
            part_samples=seen,
            keypoints=keypoints,
            sizes=dict(zip(("width", "height", "crop"), spread, strict=False)),
            enlarged=int((native[:, 2] < self.size).sum()),
            problems=problems + notes,
            samples=samples,
        )

    def _of_all(self) -> list[tuple[str, str]]:
        """What is odd about the data set as a whole: (message, remedy)."""
        found = []
        train = self.showing.get("train", np.zeros(self.schema.channels, np.int64))
        for i, name in enumerate(self.schema.parts, 1):
            elsewhere = [split for split, showing in self.showing.items() if split != "train" and showing[i]]
            if "train" in self.splits and not train[i]:
                message = f"part {name!r} is never labelled in train"
                message += f", but in {' and '.join(elsewhere)}" if elsewhere else ""
                found.append((message, "it cannot be learned: label it in a few images, or take it out of `parts`"))
            total = sum(int(showing[i]) for showing in self.showing.values())
            if total and self.tiny[i] * 2 > total:
                message = f"part {name!r} has fewer than {TINY} pixels in {self.tiny[i]} of {total} samples"
                found.append((f"{message} at {self.size} pixels", "choose a larger `size`, or crop to the object"))
        if self.keypoints:
            counts = np.sum(list(self.keypoints.values()), 0)
            off, of = counts[:, 5].sum(), counts[:, 4].sum()
            if off > 0.2 * of:
                message = f"{off} of {of} visible keypoints lie outside the figure-ground masks"
                found.append((message, "are both in pixels of the same images?"))
        if self.on_mirrored > self.on_own:
            message = f"{self.on_mirrored} keypoints lie on the part of the other side, {self.on_own} on their own"
            found.append((message, "left and right seem to be swapped between keypoints and parts: rename one of them"))
        return found


def _source(record: Record) -> str:
    return f"sources[{record.source}] {record.split}"


def _side(name: str) -> tuple[str, str]:
    """("left" | "right" | "", the rest): "left eye", "Left_Eye" and "eye-left" are all ("left", "eye")."""
    words = re.findall(r"[^\W_]+", name.lower())
    sides = [word for word in words if word in ("left", "right")]
    return (sides[0], " ".join(w for w in words if w not in sides)) if len(sides) == 1 else ("", " ".join(words))


def _near(points: np.ndarray, mask: np.ndarray, distance: float) -> np.ndarray:
    """(K,) bool: is any pixel of the mask within ``distance`` of the point?"""
    y, x = np.nonzero(mask)
    squared = (x + 0.5 - points[:, :1]) ** 2 + (y + 0.5 - points[:, 1:]) ** 2  # (K, pixels)
    near: np.ndarray = squared.min(1) <= max(distance, 0.71) ** 2  # at least the pixel that holds it
    return near


def _counts_table(report: CheckReport) -> Table:
    table = _table(readable(report.file), "", "samples", "images", *LABELS, "unreadable")
    for group in (report.splits, report.sources):
        for name, counts in group.items():
            table.add_row(name, *(str(n) for n in counts.values()))
        table.add_section()
    return table


def _account_lines(report: CheckReport) -> list[Text]:
    """Where the images went; and why the images of a split are fewer than those of its sources together."""
    lines = accounts.lines(report.accounts)
    for split, counts in report.splits.items():
        together = sum(counts["images"] for name, counts in report.sources.items() if name.endswith(f" {split}"))
        if together > counts["images"]:
            several = together - counts["images"]
            lines.append(
                f"split {split}: {together} images of its sources are {counts['images']}: {several} stand twice"
            )
    return [Text(line) for line in lines]


def _size_lines(report: CheckReport) -> list[Text]:
    lines = []
    for name, what in (("width", "image width"), ("height", "image height"), ("crop", "crop side")):
        if name in report.sizes:
            least, median, greatest = report.sizes[name]
            lines.append(Text(f"{what}: {least:g} to {greatest:g} pixels, median {median:g}"))
    if report.enlarged:
        lines.append(Text(f"{report.enlarged} crops are smaller than {report.size} pixels and get enlarged"))
    return lines


def _parts_table(report: CheckReport) -> Table:
    columns = [text for split in report.part_share for text in (f"{split} %", "in samples")]
    table = _table("pixels by part", "part", *columns)
    for name in ("background", *report.schema.parts):
        cells = []
        for split, share in report.part_share.items():
            cells += [f"{share[name]:.2f}", str(report.part_samples[split][name])]
        table.add_row(Text(readable(name)), *cells)
    return table


def _keypoints_table(report: CheckReport) -> Table:
    table = _table("keypoints", "name", "visible", "hidden", "absent", "not annotated", "outside mask %")
    for name in report.schema.keypoints:
        total = {key: sum(split[name][key] for split in report.keypoints.values()) for key in _KEYPOINT_COUNTS}
        of = total["visible_with_mask"]
        cells = [str(total[key]) for key in _KEYPOINT_COUNTS[:4]]
        table.add_row(Text(readable(name)), *cells, f"{100 * total['off_mask'] / of:.1f}" if of else "-")
    return table


def _table(title: str, first: str, *columns: str) -> Table:
    table = Table(title=Text(title, style="bold"), title_justify="left")
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right")
    return table
