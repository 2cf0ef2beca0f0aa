"""Modules that are imported when something of them is first asked for: torch takes seconds, and not all need it."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class Lazy:
    """Stands for the module ``name``."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(import_module(self._name), attribute)
        setattr(self, attribute, value)  # the next time Python finds it without asking here
        return value
