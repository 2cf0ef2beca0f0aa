"""What may go wrong in a way that a user can mend: exceptions whose text is what the command line prints."""

from __future__ import annotations


class CoarsepartsError(Exception):
    """The base of all of ours. ``str()`` names the file and the remedy; ``exit_code`` is the command's status: 1 where
    something failed while running, 2 where what the user gave cannot be used."""

    exit_code = 1


class RunError(CoarsepartsError, RuntimeError):
    """A run folder cannot be used or written."""


class DamagedRun(RunError):
    """A file of a run folder is not what was written there: cut off, of another version or run, or made by others."""

    exit_code = 2


class Busy(RunError):
    """Another process is at work on the same files; the text says which, since when, and what to do."""
