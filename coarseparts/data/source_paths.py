"""Which keys of a source name files and folders, and whether these are there."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from coarseparts.labels import STYLES
from coarseparts.system.problems import Problem, unreadable
from coarseparts.system.text import abridged, readable

OF_STYLES = {style.key: name for name, style in STYLES.items() if style.key}
"""Keys of a source whose files are labels of one style, and that style."""

FOLDERS = ("images", "part_masks", "labels", *(key for key, name in OF_STYLES.items() if STYLES[name].folder))
FILES = ("part_coco", "coco", "labels", *(key for key, name in OF_STYLES.items() if STYLES[name].coco), "only")
"""Keys of a source that may name a folder, and those that may name a file."""

SEVERAL = ("coco",)
"""Keys of a source that may be a list of paths."""

PATHS = tuple(dict.fromkeys((*FOLDERS, *FILES)))
ARCHIVES = ("cub", "nabirds")
"""Keys of earlier versions that named a public archive, which ``coarseparts prepare <key>`` turns into a source."""


def resolved(source: dict, base: Path) -> dict:
    """The source with its paths joined to ``base``; a value that is no text is left for the model to refuse."""
    keys = (*PATHS, *ARCHIVES, "segmentations")

    def joined(value: Any) -> Any:
        return base / _expanded(value) if isinstance(value, str) and value.strip() else value

    paths = {k: v for k, v in source.items() if k in keys}
    lists = {k: [joined(one) for one in v] for k, v in paths.items() if k in SEVERAL and isinstance(v, list)}
    return source | {k: joined(v) for k, v in paths.items()} | lists


def former(source: dict) -> str | None:
    """The key of a source, the first of several, with which earlier versions read public archives."""
    return next((key for key in (*ARCHIVES, "segmentations") if source.get(key) is not None), None)


def instead(key: str, archive: Any, segmentations: Any) -> str:
    """What to do where a source has such a key."""
    if key not in ARCHIVES:
        return "segmentations is no longer read; name that folder with `masks`"
    out = Path(str(archive)).parent / f"prepared-{key}"
    given = ["coarseparts", "prepare", key, str(archive), "--out", str(out)]
    if key == "cub" and segmentations is not None:
        given += ["--segmentations", str(segmentations)]
    command = readable(shlex.join(given))
    masks = ", `masks`" if key == "cub" else ""
    made = abridged(out / f"{key}.yaml", 400)
    return f"{key} is no longer read; run `{command}` and take `images`, `coco`{masks} and `only` from {made}"


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


def missing(path: Path, i: int, source: dict) -> Iterator[Problem]:
    given = [(key, source.get(key)) for key in PATHS]
    each = ((f"{key}[{j}]", key, one) for key, v in given if isinstance(v, list) for j, one in enumerate(v))
    for name, key, target in (*((key, key, value) for key, value in given), *each):
        if not isinstance(target, Path):
            continue
        may_be = [what for what, keys in (("folder", FOLDERS), ("file", FILES)) if key in keys]
        what = " or a ".join(may_be)
        try:
            found = kind(target)
            came = "" if found in may_be else f"is not a {what}" if found else "does not exist"
            if not came and found == "folder" and os.path.samefile(target, target / ".."):
                came = "is the whole disk"
        except OSError as error:
            came = unreadable(target, error, "").message
        if came:
            remedy = f"name a {what}; paths are relative to the YAML file"
            yield Problem(str(path), f"sources[{i}].{name}: {abridged(target, 400)} {came}", remedy)
