"""Label Studio's exports, JSON, JSON-MIN, CSV and TSV, and pre-annotations that it imports.

Label Studio knows regions of an image, coordinates in percent of it, each with a label; nothing says which of them are
one object but a region's parent and the relations that a person draws.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from coarseparts.data.formats.document import Document
from coarseparts.data.formats.document_builder import DocumentBuilder, head, json_of, told_apart
from coarseparts.data.formats.label_studio_images import drawn_on, image_path
from coarseparts.data.formats.label_studio_objects import add_objects
from coarseparts.data.formats.label_studio_regions import KEYPOINT, Drawn, drawn
from coarseparts.data.formats.label_studio_tasks import write
from coarseparts.data.formats.table import rows_of
from coarseparts.system.problems import BadInput, Problem
from coarseparts.system.text import abridged, short

__all__ = ["NAME", "read", "recognises", "write"]

NAME = "Label Studio"

WHICH = "the last one that is marked as ground truth, else the last with regions,"
"""Of several annotations."""

REMEDY = "export the project from Label Studio as JSON or JSON-MIN"

_OF_TASKS = re.compile(rb'"(annotations|predictions|completions)"\s*:\s*\[')
_OF_ROWS = re.compile(rb'"(annotation_id|original_width|annotator)"\s*:')


_OF_ANNOTATION = ("annotation_id", "annotator", "created_at", "updated_at", "lead_time")
"""What a row of JSON-MIN says of its annotation, and not of its task."""

_OF_TABLE = re.compile(rb"^(?=[^\n]*\bannotation_id\b)[^\n]*\bannotator\b")
TABLES = (".csv", ".tsv")
"""How the tables end that hold what JSON-MIN does, lists of regions as JSON in their cells."""


def recognises(path: Path) -> bool:
    """Whether a file, or the first JSON file of a folder, begins as an export of Label Studio does."""
    files = _files(path)
    begin = head(files[0]).lstrip() if files else b""
    if files and files[0].suffix.lower() in TABLES:
        return bool(_OF_TABLE.search(begin))
    if _OF_TASKS.search(begin):
        told = b'"result"' in begin or (begin.startswith(b"[") and b'"data"' in begin)
        return told and begin[:1] in (b"[", b"{") and b'"categories"' not in begin
    if begin.startswith(b"{"):  # an annotation in a storage of its own
        return all(key in begin for key in (b'"result"', b'"task"', b'"original_width"', b'"data"'))
    return begin.startswith(b"[") and len(set(_OF_ROWS.findall(begin))) >= 2


def _files(path: Path) -> list[Path]:
    """The JSON files that ``path`` stands for: itself, or those of a folder, a task each; Label Studio calls those that
    it writes to a storage by numbers, some versions without a suffix."""
    if path.is_dir():
        files = [file for file in path.iterdir() if not file.name.startswith(".") and file.is_file()]
        return sorted(file for file in files if file.suffix == ".json" or file.name.isdecimal())
    return [path]


def read(path: Path) -> Document:
    """What an export says. Of several annotations of a task that were not cancelled the last one counts that is marked
    as ground truth, else the last with regions; predictions count where nobody annotated anything in the whole export.
    Raises BadInput."""
    tasks = [task for file in _files(path) for task in _tasks(file)]
    if not tasks:
        raise BadInput(Problem(str(path), "holds no task", REMEDY))
    builder = DocumentBuilder(path)
    annotated = any(_finished(task) for task in tasks)
    images: dict[str, Drawn] = {}
    for name, results, where in _named(tasks, annotated, builder):
        found = drawn(results, where, builder)
        if images.get(name, found) is not found:
            builder.pass_over("tasks are of an image that another task has, too: the last one with regions is used")
        if found.regions or name not in images:
            images[name] = found
    keypoints = dict.fromkeys(
        label
        for found in images.values()
        for region in found.regions.values()
        if region.kind == KEYPOINT
        for label in region.labels
    )
    for name, found in images.items():
        image = builder.image(name, found.size)
        if image is not None:
            add_objects(found, image, name, tuple(keypoints), builder)
    return builder.document()


def _tasks(file: Path) -> Iterator[dict]:
    """The tasks of a file, rows of JSON-MIN as tasks with one annotation. Raises BadInput."""
    whole = _rows(file) if file.suffix.lower() in TABLES else json_of(file, REMEDY)
    entries = whole if isinstance(whole, list) else [whole]
    odd = [entry for entry in entries if not isinstance(entry, dict)]
    if odd:
        raise BadInput(Problem(str(file), f"holds {short(odd[0])} instead of a task", REMEDY))
    rows: list[dict] = []
    for entry in entries:
        if isinstance(guesses := entry.get("predictions"), list):  # where it has annotations, the server sends numbers
            entry = entry | {"predictions": [one for one in guesses if type(one) is not int]}
        lists = [entry[key] for key in ("annotations", "predictions", "completions") if key in entry]
        if any(not isinstance(each, list) or not all(isinstance(one, dict) for one in each) for each in lists):
            raise BadInput(Problem(str(file), f"holds {short(lists, 60)} where a task's annotations belong", REMEDY))
        if lists:
            yield entry
        elif isinstance(entry.get("task"), dict) and isinstance(entry.get("result"), list):
            yield {**entry["task"], "annotations": [entry]}  # an annotation in a storage of its own
        elif "data" in entry or "annotation_id" in entry or "annotator" in entry:
            rows.append(_of_row(entry))
        else:
            keys = ", ".join(abridged(str(key)) for key in list(entry)[:8])
            raise BadInput(Problem(str(file), f"holds an object with {keys or 'nothing'}, expected a task", REMEDY))
    yield from _of_one_task(rows)


def _of_one_task(rows: list[dict]) -> list[dict]:
    """The tasks of rows, of which each is an annotation: those of one id and data are one task's."""
    found: dict[str, dict] = {}
    for number, row in enumerate(rows):
        data = {key: value for key, value in row["data"].items() if key not in _OF_ANNOTATION}
        key = f"row {number}" if row.get("id") is None else json.dumps([row["id"], data], sort_keys=True, default=str)
        if key in found:
            found[key]["annotations"] += row.get("annotations", [])
        else:
            found[key] = row
    return list(found.values())


def _rows(file: Path) -> list[dict]:
    """The rows of a table as JSON-MIN has them. Raises BadInput."""
    rows = rows_of(file, REMEDY)
    _, names = next(rows, (0, []))
    found = []
    for number, row in rows:
        entry: dict[str, Any] = dict(zip(names, row, strict=False))
        for name, cell in entry.items():
            if cell.lstrip().startswith("[{"):
                try:
                    entry[name] = json.loads(cell)
                except (ValueError, RecursionError):
                    message = f"row {number}, {abridged(name)}: is no JSON, {short(cell, 60)}"
                    raise BadInput(Problem(str(file), message, "export it as JSON")) from None
        found.append(entry)
    return found


def _of_row(row: dict) -> dict:
    """A row of JSON-MIN as a task: its lists of objects are regions, what else it has are data."""
    if isinstance(row.get("data"), dict):
        return row
    regions = []
    for value in row.values():
        for region in value if isinstance(value, list) else ():
            if isinstance(region, dict):
                kinds = [key for key in region if key.endswith("labels")]
                regions.append({"type": kinds[0] if kinds else "region", "value": region} | region)
    data = {
        key: value
        for key, value in row.items()
        if isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value))
    }
    about = {"completed_by": row.get("annotator"), "created_at": row.get("created_at")}
    return {"id": row.get("id"), "data": data, "annotations": [about | {"result": regions}]}


def _finished(task: dict) -> list[dict]:
    """A task's annotations that were not cancelled, oldest first."""
    given = task.get("annotations", task.get("completions", []))
    kept = [entry for entry in given if not (entry.get("was_cancelled") or entry.get("skipped"))]
    return sorted(kept, key=lambda entry: str(entry.get("created_at") or ""))


def _drew_apart(tasks: Iterable[dict]) -> bool:
    """Whether several people annotated tasks, two at least, and each drew labels that nobody else did."""
    of: dict[str, set[str]] = defaultdict(set)
    several = 0
    for task in tasks:
        own = [one for one in _finished(task) if one.get("result")]
        if len(own) < 2:
            continue
        several += 1
        if len({str(one.get("completed_by")) for one in own}) < len(own) or any(one.get("ground_truth") for one in own):
            return False
        for one in own:
            of[str(one.get("completed_by"))] |= _labels(one["result"])
    return several > 1 and all(of.values()) and sum(map(len, of.values())) == len(set().union(*of.values()))


def _labels(results: Any) -> set[str]:
    values = [one["value"] for one in results if isinstance(one, dict) and isinstance(one.get("value"), dict)]
    lists = [each for value in values for key, each in value.items() if key.endswith("labels")]
    return {str(label) for each in lists if isinstance(each, list) for label in each}


def _results(task: dict, annotated: bool, apart: bool, builder: DocumentBuilder) -> Any:
    """The results that count of a task; ``annotated``: there are annotations in the export; ``apart``: as
    ``_drew_apart`` says."""
    finished = _finished(task)
    if apart and len(own := [one["result"] for one in finished if one.get("result")]) > 1:
        builder.pass_over("tasks have several annotations, of other labels each: all are used")
        return [result for each in own for result in each]
    if len(finished) > 1:
        builder.pass_over(f"tasks have several annotations: {WHICH} of each is used")
    if finished:
        drawn = [one for one in finished if one.get("result")] or finished
        return ([one for one in drawn if one.get("ground_truth") is True] or drawn)[-1].get("result", [])
    if task.get("drafts"):
        builder.pass_over("tasks have drafts alone: their images count as unlabelled", "submit them, and export again")
    if task.get("annotations") or task.get("completions"):
        builder.pass_over("tasks have cancelled annotations alone: their images count as unlabelled")
    guesses = task.get("predictions")
    if not guesses:
        return []
    if annotated:
        builder.pass_over("tasks have predictions, but no annotation: their images count as unlabelled")
        return []
    builder.pass_over("tasks have predictions, and nobody annotated any: the predictions are used")
    return guesses[-1].get("result", [])


def _named(tasks: list[dict], annotated: bool, builder: DocumentBuilder) -> Iterator[tuple[str, Any, str]]:
    """(the image's name, the results drawn on it, how messages call the task) of the tasks that have an image. Paths
    of a server or of another machine are shortened to the file's name where that tells the images apart."""
    found = []
    apart = _drew_apart(tasks)
    for i, task in enumerate(tasks):
        where = f"task {abridged(str(task.get('id', i)))}"
        try:
            pages = drawn_on(task.get("data"), _results(task, annotated, apart, builder))
        except ValueError as error:
            builder.say(
                f"{where} {error}", "call the Image control as its value in the task is called, and export JSON again"
            )
            continue
        for url, results in pages or [("", [])]:
            name, elsewhere = image_path(url) if url else ("", False)
            if name:
                found.append((name, elsewhere, results, where))
            else:
                came = short(url or task.get("data"), 60)
                expected = "expected one image a task, such as {image: ant.jpg}"
                builder.say(f"{where} names no image file: {came}", expected)
    names = told_apart([(name, elsewhere) for name, elsewhere, _, _ in found])
    for name, _, results, where in found:
        yield names[name], results, where
