"""All that ``coarseparts doctor`` says: facts by heading, and what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from coarseparts.doctor import environment
from coarseparts.doctor.environment import MISSING, private
from coarseparts.doctor.self_test import self_test


@dataclass(frozen=True)
class Diagnosis:
    """``facts``: by heading and name; ``problems``: what keeps the program from working, a line each."""

    facts: dict[str, dict[str, str]]
    problems: list[str]

    def to_json(self) -> str:
        """One JSON object: ``facts`` and ``problems``."""
        return json.dumps(asdict(self), indent=1)

    def to_text(self) -> str:
        """Lines for a terminal or an issue."""
        lines = []
        for heading, facts in self.facts.items():
            lines += [heading, *(f"  {name:20s} {value}" for name, value in facts.items())]
        return "\n".join([*lines, "", *(self.problems or ["nothing is wrong"])])


def diagnose(test: Callable[[], dict[str, Any]] = self_test) -> Diagnosis:
    """Looks at this machine and runs the self-test, which takes 20 seconds at most beside loading torch."""
    versions, folders = environment.versions(), environment.folders()
    problems = [
        f"{name} is not installed; install coarseparts again: pip install --force-reinstall coarseparts"
        for name, found in versions.items()
        if found == MISSING
    ]
    problems += [
        f"{use}: cannot be written to; free it or choose another" for use, (_, ok) in folders.items() if not ok
    ]
    try:
        devices = environment.devices()
    except Exception as error:  # of a torch that is broken, which is what is to be found out
        devices = {"torch": "cannot be loaded"}
        problems.append(f"torch cannot be loaded ({private(' '.join(str(error).split()))[:200]}); install it again")
    outcome = test()
    told = private(str(outcome["told"]))
    if not outcome["works"]:
        problems.append(f"self-test: {told}")
    facts = {
        "versions": versions,
        "extras": environment.extras(),
        "devices": devices,
        "folders": {use: shown for use, (shown, _) in folders.items()},
        "self-test": {"works" if outcome["works"] else "fails": told},
    }
    return Diagnosis(facts, problems)
