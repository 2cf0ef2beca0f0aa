"""Other tools' libraries as judges, in an environment of their own: COARSEPARTS_JUDGES names its Python."""

import json
import os
import subprocess

import pytest

JUDGES = os.environ.get("COARSEPARTS_JUDGES", "")


def asked(library: str, script: str, *arguments: object) -> object:
    """What a script, which uses ``library`` and prints JSON last, says in the judges' environment. Skips where there is
    none, or where it lacks the library."""
    if not JUDGES:
        pytest.skip(f"COARSEPARTS_JUDGES names no Python with {library}: nobody to ask")
    # Where nothing is installed that the script would import by accident from here.
    command = [JUDGES, "-c", script, *map(str, arguments)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    there = subprocess.run([JUDGES, "-c", f"import {library}"], env=environment, capture_output=True)
    if there.returncode:
        pytest.skip(f"{JUDGES} has no {library}: nobody to ask")
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])
