"""What the command line says: results to standard output, all else to standard error; users' names as visible text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.progress import Progress
from rich.text import Text

from coarseparts.system.text import readable

out = Console(markup=False, emoji=False, highlight=False)  # a path may have brackets in it
err = Console(stderr=True, markup=False, emoji=False, highlight=False)
if not out.is_terminal:
    out = Console(width=120, markup=False, emoji=False, highlight=False)  # a table in a log file keeps its columns


def be_quiet() -> None:
    """From now on results and errors are all that is printed."""
    err.quiet = True


def say(text: str) -> None:
    """A line of results."""
    out.print(readable(text), soft_wrap=True)


def show(blocks: Group) -> None:
    """Tables and lines of results, the lines unbroken, so that they can be searched for."""
    for block in blocks.renderables:
        out.print(block, soft_wrap=isinstance(block, Text))


def note(text: object) -> None:
    """A line about what is going on, or about the data: unbroken, so that it can be searched for."""
    silenced = err.quiet and not out.quiet and getattr(text, "severity", "") == "error"  # --quiet hides no error
    to = Console(stderr=True, markup=False, emoji=False, highlight=False) if silenced else err
    to.print("\n".join(readable(line) for line in str(text).split("\n")), soft_wrap=True)


def notes(several: Iterable[object]) -> None:
    """A line each."""
    for each in several:
        note(each)


@contextmanager
def quiet_unless(speaks: bool) -> Iterator[None]:
    """Inside, nothing is printed unless this process is the one that ``speaks``."""
    was = out.quiet, err.quiet
    out.quiet = err.quiet = not speaks or out.quiet
    try:
        yield
    finally:
        out.quiet, err.quiet = was


_BARS: list[Progress] = []


def end_bars() -> None:
    """Takes away the bars of work that was not done to its end, and gives the terminal its cursor back."""
    while _BARS:
        _BARS.pop().stop()


def progress(title: str) -> Callable[[int, int], None] | None:
    """A callback (done, total) that draws a bar with the time left on a terminal, for one kind of work after the other;
    None elsewhere."""
    if not err.is_terminal or err.quiet:
        return None
    bar = Progress(console=err, transient=True)
    _BARS.append(bar)
    task = bar.add_task(title, total=None)
    bar.start()

    def advance(done: int, total: int) -> None:
        bar.start()
        bar.update(task, completed=done, total=total)
        if done >= total:
            bar.stop()

    return advance
