"""Archives and files of labels that hold their photographs: unpacked beside the dataset file, which has to name a
folder."""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from coarseparts.data.formats import labelme, sleap
from coarseparts.data.formats.unpacked import files_in, is_archive, unpacked
from coarseparts.data.suffixes import IMAGES
from coarseparts.system import limits
from coarseparts.system.problems import BadInput, Problem, unwritable
from coarseparts.system.text import readable

HOLDERS = (labelme, sleap)
"""Formats whose files may hold their photographs."""


def unpacked_beside(paths: Sequence[Path], out: Path) -> tuple[list[Path], list[str]]:
    """The paths, in the place of each archive that holds images the folder of its name beside ``out`` with its files,
    and behind each export that holds its photographs itself a folder of these, made where it is not there already; and
    what was unpacked, in words. Raises BadInput where such a folder holds something else, cannot be written, or the
    archive is one that ``unpacked`` refuses."""
    found, said = [], []
    for path in paths:
        if not is_archive(path) or not _holds_images(path):
            found.append(path)
            own = next((one for one in HOLDERS if one.recognises(path)), None)
            if own is not None and (folder := _written_out(path, own, Path(os.path.abspath(out)).parent)):
                found.append(folder)
                said.append(readable(f"the files of {path} hold their photographs, which are in the folder {folder}"))
            continue
        folder = Path(os.path.abspath(out)).parent / path.stem
        if folder == path:
            folder = folder.with_name(f"{path.name}-unpacked")
        if os.path.lexists(folder):
            _refuse_others(folder, path)
        else:
            _unpack(path, folder)
        found.append(folder)
        said.append(readable(f"{path} holds its photographs and is unpacked, as the folder {folder}"))
    return found, said


def _holds_images(path: Path) -> bool:
    try:
        return any(name.lower().endswith(IMAGES) for name in files_in(path))
    except (zipfile.BadZipFile, OSError):
        return False  # told where it is read


def _unpack(path: Path, folder: Path) -> None:
    """Whole or not at all."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with unpacked(path, folder.parent) as there:
            os.rename(there, folder)
        folder.chmod(folder.parent.stat().st_mode & 0o777)
    except OSError as error:
        if limits.is_machines(error):
            raise
        raise unwritable(folder.parent, error, "choose another place by --out", folder.name) from error


def _written_out(path: Path, own: ModuleType, beside: Path) -> Path | None:
    """The folder of the photographs that an export of a format of its ``own`` holds, whole or not at all; None where
    it holds none. Raises BadInput where it is there, or cannot be written."""
    folder = beside / f"{path.stem}-photographs"
    if os.path.lexists(folder):
        raise BadInput(Problem(str(folder), "is there and would be written over", "move it away, or name it, too"))
    try:
        beside.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=beside, ignore_cleanup_errors=True) as made:
            for name, data in own.photographs_in(path):
                target = Path(made, "all", name)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
            if not Path(made, "all").exists():
                return None
            os.rename(Path(made, "all"), folder)
    except OSError as error:
        if limits.is_machines(error):
            raise
        raise unwritable(beside, error, "choose another place by --out", folder.name) from error
    return folder


def _refuse_others(folder: Path, path: Path) -> None:
    """Raises BadInput where a folder does not hold the files of an archive, each of its size."""
    for name, size in files_in(path).items():
        file = folder / name
        if not file.is_file() or file.stat().st_size != size:
            came = f"is there, and does not hold {readable(name)} as {readable(path)} does"
            raise BadInput(Problem(str(folder), came, "move it away, or choose another place by --out"))
