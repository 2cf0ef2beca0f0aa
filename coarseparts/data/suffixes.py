"""What the files in a folder of photographs are, as far as their names tell; and what is passed over there."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from coarseparts.system.problems import Problem
from coarseparts.system.text import abridged, listed

IMAGES = (
    *(
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".tif",
        ".tiff",
        ".bmp",
        ".webp",
        ".gif",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
    ),
    *(".heic", ".heif", ".hif", ".avif", ".jp2", ".j2k", ".jpx", ".jpf"),
)
"""Files that are taken for images when a folder is listed, whatever the case of their names."""

RAW = (
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".mef", ".mos", ".mrw"),
    *(".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
)
"""Cameras' raw files."""

_OTHERS = {
    RAW: "camera's raw files: export them as JPEG, PNG or TIFF",
    (".mp4", ".mov", ".avi", ".mkv", ".m4v", ".mts", ".wmv", ".webm"): "films: extract the frames as images",
    (
        *(".czi", ".dcm", ".dicom", ".dv", ".ims", ".lif", ".lsm", ".mrxs", ".nd2", ".ndpi", ".oib", ".oif", ".oir"),
        *(".scn", ".stk", ".svs", ".vsi", ".zvi", ".nii"),
    ): "microscopes' and scanners' own files: export them as TIFF",
    (".psd", ".psb", ".xcf", ".kra", ".ai", ".svg", ".eps", ".pdf", ".ico", ".icns"): "drawings: export them as PNG",
    (".jxl", ".exr", ".hdr", ".tga", ".pcx", ".dds", ".pfm", ".npy", ".npz"): (
        "images of a kind that is not read: save them as JPEG or PNG"
    ),
    (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"): "archives: unpack them",
}

_LABELS = (".csv", ".h5", ".json", ".jsonl", ".md", ".mat", ".pkl", ".slp", ".tsv", ".txt", ".xml", ".yaml", ".yml")
"""What tools write beside photographs; whether it is read is not for the folder to say."""

_OF_SYSTEMS = ("thumbs.db", "desktop.ini", "ehthumbs.db")


def passed_over(folder: Path, used: Collection[str] = ()) -> list[Problem]:
    """A note that counts, by suffix, what in a folder and below is no image by its name, and says what to do; none
    where there is nothing. Hidden files, files of labels and those that are ``used`` all the same (relative paths with
    forward slashes) do not count."""
    counts: Counter[str] = Counter()
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        prefix = Path(parent).relative_to(folder).as_posix()
        for name in files:
            whole = name if prefix == "." else f"{prefix}/{name}"
            if name.startswith(".") or name.lower() in _OF_SYSTEMS or whole in used:
                continue
            suffix = os.path.splitext(name)[1].lower()
            if suffix not in IMAGES and suffix not in _LABELS:
                counts[suffix] += 1
    if not counts:
        return []
    told = listed((f"{n:,} {abridged(suffix, 20) or 'without a suffix'}" for suffix, n in counts.most_common()), 12)
    remedies = dict.fromkeys(what for kinds, what in _OTHERS.items() if any(suffix in kinds for suffix in counts))
    message = f"holds {sum(counts.values()):,} files that are no images by their names and are passed over: {told}"
    return [Problem(str(folder), message, "; ".join(remedies), "note")]
