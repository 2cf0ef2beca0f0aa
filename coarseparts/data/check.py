"""The doctor: what is in a data set, and what is wrong or odd with it."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from coarseparts.data import accounts
from coarseparts.data.accounts import Account
from coarseparts.data.build import load_all
from coarseparts.data.dataset_file import DatasetFile, load_dataset_file
from coarseparts.data.images import orientation
from coarseparts.data.label_sources import Recognised
from coarseparts.data.records import Record, read_contents, without_part_masks
from coarseparts.data.sample import Sample
from coarseparts.data.store_files import LABELS
from coarseparts.data.tally import KEYPOINT_COUNTS, Tally
from coarseparts.labels import STYLES
from coarseparts.labels.given import AS_STORED
from coarseparts.labels.schema import Schema
from coarseparts.system.files import path_of
from coarseparts.system.problems import Problem, capped, counted, errors
from coarseparts.system.text import readable


@dataclass
class CheckReport:
    """What ``check`` found; measured after crop and resize, as training sees it.

    ``splits``, ``sources``: counts of samples, distinct images, each label, and samples that could not be read;
    ``accounts``: of each source's images; ``recognised``: what its labels are, and how annotations became objects.
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
    recognised: dict[str, list[Recognised]] = field(default_factory=dict)

    @property
    def errors(self) -> list[Problem]:
        """The problems that keep something from being used."""
        return errors(self.problems)

    def to_json(self) -> str:
        """Everything but the samples, as one JSON object."""
        facts = {k: v for k, v in vars(self).items() if k not in ("schema", "samples", "problems")}
        problems = [asdict(p) | {"file": readable(p.file), "message": readable(p.message)} for p in self.problems]
        facts["accounts"] = {account.name: account.facts() for account in self.accounts}
        facts["recognised"] = {name: [one.facts() for one in own] for name, own in self.recognised.items()}
        facts |= {"schema": self.schema.model_dump(mode="json"), "problems": problems}
        return json.dumps(facts, indent=1)

    def to_text(self) -> Group:
        """Tables and a list of problems for ``rich.console.Console.print``; alike problems are cut short at 20."""
        blocks: list[Any] = [_counts_table(self), *_account_lines(self), *_recognised(self), *_size_lines(self)]
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
    tally = Tally(schema, dataset.size)
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
        remedy += f"; {AS_STORED}"
        problems.append(Problem(str(dataset.path), message, remedy, "note"))
    of_split = {
        label: {split: counts[label] for split, counts in tally.splits.items()} for label in ("samples", "parts")
    }
    problems += without_part_masks(dataset, contents)
    problems += accounts.empty_splits(dataset, of_split["samples"], of_split["parts"])
    problems += accounts.unseen_keypoints(dataset, schema, tally.shown())
    file = str(dataset.path)
    problems += [Problem(file, message, remedy, "note") for message, remedy in tally.oddities()]
    facts = tally.facts()
    facts |= {"accounts": contents.accounts, "recognised": contents.recognised}
    return CheckReport(file, schema, dataset.size, problems=problems, samples=kept, **facts)


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


def _counts_table(report: CheckReport) -> Table:
    every = [*report.splits.values(), *report.sources.values()]
    labels = [name for name in LABELS if name == "parts" or any(counts[name] for counts in every)]
    columns = ("samples", "images", *labels, "unreadable")
    table = _table(readable(report.file), "", *columns)
    for group in (report.splits, report.sources):
        for name, counts in group.items():
            table.add_row(name, *(str(counts[column]) for column in columns))
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


def _recognised(report: CheckReport) -> list[Text]:
    """What the labels of each source are."""
    return [Text(readable(f"{name}: {one}")) for name, own in report.recognised.items() for one in own]


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
        total = {key: sum(split[name][key] for split in report.keypoints.values()) for key in KEYPOINT_COUNTS}
        of = total["visible_with_mask"]
        cells = [str(total[key]) for key in KEYPOINT_COUNTS[:4]]
        table.add_row(Text(readable(name)), *cells, f"{100 * total['off_mask'] / of:.1f}" if of else "-")
    return table


def _table(title: str, first: str, *columns: str) -> Table:
    table = Table(title=Text(title, style="bold"), title_justify="left")
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right")
    return table
