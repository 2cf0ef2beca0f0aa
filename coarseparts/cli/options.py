"""What the command line's options mean: texts to values, each wrong one told with the remedy (BadInput)."""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from coarseparts.system.errors import Failed
from coarseparts.system.limits import room_for_networks
from coarseparts.system.problems import BadInput, Problem
from coarseparts.system.text import short


def changes(texts: list[str], weights: str = "") -> dict[str, Any]:
    """["batch=8", "em.alpha=0.5"] -> {"batch": 8, "em.alpha": 0.5}; ``weights``, if not empty, is one more."""
    from coarseparts.system.documents import DocumentError, parse_yaml  # here, for no help text needs a parser

    pairs: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise BadInput(Problem(f"--set {text}", "has no '='", "write --set key=value"))
        try:
            pairs[key.strip()] = parse_yaml(value)
        except DocumentError as error:
            raise BadInput(Problem(f"--set {text}", str(error), "write e.g. --set batch=8")) from None
    return pairs | ({"weights": weights} if weights else {})


def label_files(texts: list[str], keys: Collection[str]) -> dict[str, Path]:
    """["coarse.json", "masks=silhouettes"] -> {"coco": Path("coarse.json"), "masks": Path("silhouettes")}."""
    files: dict[str, Path] = {}
    for text in texts:
        key, equals, path = text.partition("=")
        if not equals or (key not in keys and os.path.lexists(text)):  # a file's name may hold a sign of equality
            key, path = "coco", text
        elif key not in keys:
            raise BadInput(Problem(f"--labels {text}", f"{short(key)} is no kind of labels", nearest_of(key, keys)))
        if not path.strip():
            raise BadInput(Problem(f"--labels {text}", "is empty", "name a file or a folder"))
        if key in files:
            raise BadInput(Problem(f"--labels {text}", f"there is {files[key]} for it, too", "name one"))
        files[key] = Path(path)
    return files


def seeds(text: str) -> list[int]:
    """ "0,1,2" -> [0, 1, 2], each once."""
    words = [word.strip() for word in text.split(",")]
    numbers = [int(word) for word in words if word.isascii() and word.isdigit() and len(word) < 12]
    if len(set(numbers)) < len(words) or not all(number < 2**31 for number in numbers):
        what = f"is {short(text)}, expected different whole numbers from 0 to {2**31 - 1}"
        raise BadInput(Problem("--seeds", what, "write e.g. --seeds 0,1,2"))
    return numbers


def names(option: str, text: str, allowed: Collection[str] | None = None) -> list[str]:
    """ "a,b" -> ["a", "b"], each once and, if ``allowed`` is given, of those."""
    found = [word.strip() for word in text.split(",") if word.strip()]
    for name in found if allowed is not None else []:
        one_of(option, name, allowed or ())
    if len(set(found)) < len(found):
        raise BadInput(Problem(option, f"is {short(text)}, expected different names", "name each once"))
    return found


def whole_numbers(option: str, text: str) -> list[int]:
    """ "30,150" -> [30, 150], each once and above 0."""
    found = names(option, text)
    if not all(word.isascii() and word.isdigit() and len(word) < 12 and int(word) for word in found):
        what = f"is {short(text)}, expected whole numbers above 0"
        raise BadInput(Problem(option, what, f"write e.g. {option} 30,150"))
    return [int(word) for word in found]


def not_over(option: str, file: Path | None, *marks: str) -> None:
    """Raises BadInput where a file to write is there and is something else: its beginning holds none of ``marks``, of
    which what is written there holds one; and where its folder may not be written to."""
    if file is None:
        return
    folder = next((above for above in file.absolute().parents if above.exists()), file)
    if not os.access(folder, os.W_OK):
        remedy = "name a file in a folder of your own"
        raise BadInput(Problem(f"{option} {file}", f"{folder} cannot be written to", remedy))
    try:
        with open(file, "rb") as there:
            begin = there.read(1000)
    except OSError:  # nothing there, or told where it is written
        return
    if begin and not any(mark.encode() in begin for mark in marks):
        what = "is there, is nothing that this command wrote, and would be written over"
        raise BadInput(Problem(f"{option} {file}", what, "move it away, or name another file"))


def one_of(option: str, value: str, allowed: Collection[str]) -> None:
    """Whether a value is among those that there are."""
    if value not in allowed:
        raise BadInput(Problem(option, f"is {short(value)}", nearest_of(value, allowed)))


def nearest_of(value: str, allowed: Collection[str]) -> str:
    """What to write in place of ``value``: the nearest one, and all that there are."""
    close = difflib.get_close_matches(value[:60], allowed, n=1)
    return f"{f'did you mean {close[0]}? ' if close else ''}choose one of {', '.join(allowed)}"


def extra(name: str, *modules: str) -> None:
    """Raises Failed, with the command that installs it, where a part of an extra is missing."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise Failed(f"{', '.join(missing)}: not installed; run: pip install 'coarseparts[{name}]'")


def device(name: str) -> str:
    """ "auto" is the GPU where torch sees one."""
    one_of("--device", name, ("auto", "cpu", "cuda"))
    from coarseparts.system.device import resolve  # here, for `check` does without torch

    room_for_networks()
    return resolve(name)


def own_gpu(device: str) -> str:
    """The GPU that torchrun gives this process, where it started several."""
    return f"cuda:{os.environ['LOCAL_RANK']}" if device == "cuda" and "LOCAL_RANK" in os.environ else device


def shard(text: str) -> tuple[int, int]:
    """ "2/8" -> (1, 8); "" is this process's number among those that torchrun started, (0, 1) without it."""
    if not text:
        return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    first, _, second = text.partition("/")
    if not (first.isascii() and first.isdigit() and second.isascii() and second.isdigit() and int(second)):
        raise BadInput(Problem("--shard", f"is {short(text)}, expected I/N", "write e.g. --shard 1/8"))
    if not 1 <= int(first) <= int(second):
        what = f"is {short(text)}, expected 1 to {second} of {second}"
        raise BadInput(Problem("--shard", what, "write e.g. --shard 1/8"))
    return int(first) - 1, int(second)
