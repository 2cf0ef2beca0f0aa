"""What may go wrong in a way that a user can mend: exceptions whose text is what the command line prints."""

from __future__ import annotations


class CoarsepartsError(Exception):
    """The base of all of ours. ``str()`` names the file and the remedy; ``exit_code`` is the command's status: 2 where
    what the user gave cannot be used, 1 where something failed while running."""

    exit_code = 2


class WrongArgument(CoarsepartsError, ValueError):
    """An argument of a function of the library cannot be used: the text names it, what came and what was expected."""


class RunError(CoarsepartsError, RuntimeError):
    """A run folder cannot be used for what is asked: it holds other things, or another run."""


class DamagedRun(RunError):
    """A file of a run folder is not what was written there: cut off, of another version or run, or made by others."""


class Failed(RunError):
    """Something failed while running: a full disk, a method that diverged."""

    exit_code = 1


class Busy(Failed):
    """Another process is at work on the same files; the text says which, since when, and what to do."""
