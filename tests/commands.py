"""Commands, and other functions, each in a process of its own that is forked with the libraries imported already.

Importing them takes longer than most of these commands. Where the start itself is tested, Python is started anew.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

from coarseparts.cli.__main__ import main

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    [
        *("torch", "timm", "torchvision", "scipy.optimize", "skimage.measure", "matplotlib.pyplot", "optuna"),
        *(f"coarseparts.cli.{verb}" for verb in ("main", "train", "compare", "benchmark", "sweep", "predict", "check")),
        *("coarseparts.training.methods", "coarseparts.experiments.cells", "coarseparts.inference.folder"),
    ]
)


def _call(function: Callable[..., object], arguments: Sequence[object], environment: dict[str, str]) -> None:
    os.environ.update(environment)
    sys.stdin = open(os.devnull)
    function(*arguments)


def forked(function: Callable[..., object], *arguments: object, **environment: str) -> BaseProcess:
    """The running process of a function that can be imported; its exit code is 0, or 1 after an exception."""
    process = PROCESSES.Process(target=_call, args=(function, arguments, environment))
    process.start()
    return process


def ended(process: BaseProcess, seconds: float = 300) -> int:
    """Its exit code; killed where it has none in time."""
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
    assert process.exitcode is not None
    return process.exitcode


def _command(words: list[str], streams: list[str]) -> None:
    """The command line, printing into two files."""
    for number, path in enumerate(streams, 1):
        os.dup2(os.open(path, os.O_WRONLY), number)
    sys.stdout, sys.stderr = (io.TextIOWrapper(os.fdopen(number, "wb"), write_through=True) for number in (1, 2))
    sys.argv = ["coarseparts", *words]
    main()


def coarseparts(*words: object, ok: int | None = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    """What ``coarseparts WORDS...`` prints; its status has to be ``ok``, if that is given."""
    typed = [str(word) for word in words]
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder, name) for name in ("out", "err")]
        for stream in streams:
            stream.touch()
        status = ended(forked(_command, typed, [str(stream) for stream in streams], **environment))
        out, err = (stream.read_text() for stream in streams)
    if ok is not None:
        assert status == ok, f"status {status}\n{out}\n{err}"
    return subprocess.CompletedProcess(typed, status, out, err)
