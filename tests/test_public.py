"""What is public, and under which licences: changes of either are meant, or are told here."""

from __future__ import annotations

import importlib
import inspect
import re
import socket
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from toy import toy

import coarseparts
from coarseparts.data.synthetic import birds
from coarseparts.inference.model import Model
from coarseparts.training import methods

ROOT = Path(__file__).resolve().parent.parent

PUBLIC = {
    "train": "data out method preset effort minutes labels parts_limit seed device skip_bad progress settings",
    "Run": "folder model report result results",
    "load": "path device flip",
    "Model": "of predict save load fast",
    "Parts": "index masks probability overlay",
    "check": "path progress samples",
    "CheckReport": "errors problems splits",
    "evaluate": "",
    "Evaluation": "",
    "measure": "",
    "CoarsepartsError": "",
}
"""Each name with its arguments, or those of its members that the documentation promises."""


def test_the_public_names_are_these() -> None:
    assert set(coarseparts.__all__) == {"__version__", *PUBLIC}


@pytest.mark.parametrize("name", [name for name, members in PUBLIC.items() if members])
def test_arguments_and_members_that_are_promised_are_there(name: str) -> None:
    value, promised = getattr(coarseparts, name), PUBLIC[name].split()
    if inspect.isclass(value):
        there = {*dir(value), *inspect.get_annotations(value), *getattr(value, "__dataclass_fields__", ())}
        assert set(promised) <= there
    else:
        assert list(inspect.signature(value).parameters) == promised


def test_what_is_public_says_what_it_does() -> None:
    for name in PUBLIC:
        value = getattr(coarseparts, name)
        assert inspect.getdoc(value) and importlib.import_module(value.__module__).__doc__


def needed(roots: list[str]) -> set[str]:
    """Names of all distributions that these requirements bring along here."""
    seen: set[str] = set()
    rest = [Requirement(root) for root in roots]
    while rest:
        one = rest.pop()
        if one.name.lower() in seen or (one.marker and not one.marker.evaluate({"extra": ""})):
            continue
        seen.add(one.name.lower())
        try:
            rest += map(Requirement, distribution(one.name).requires or [])
        except PackageNotFoundError:  # of another platform
            seen.discard(one.name.lower())
    return seen


def licence(name: str) -> str:
    """What a distribution says of its licence."""
    told = distribution(name).metadata
    classifiers = [each for each in told.get_all("Classifier") or [] if each.startswith("License ::")]
    return " | ".join(filter(None, [told.get("License-Expression"), (told.get("License") or "")[:200], *classifiers]))


def test_nothing_that_runs_needs_is_under_a_licence_that_binds_its_users() -> None:
    names = needed(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"])
    assert {"torch", "numpy", "pydantic"} <= names and len(names) > 15
    bound = {name: licence(name) for name in names if re.search(r"\bA?GPL|Affero|GNU General", licence(name))}
    assert not bound


def test_training_and_prediction_speak_to_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: object, **_: object) -> None:
        raise AssertionError(f"asked the network for {arguments}")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    task, run = toy(tmp_path / "store", tmp_path / "run")
    trained = methods.train(task, run, "em")
    Model.of(task, trained.joint, True).save(tmp_path / "model")
    parts = coarseparts.load(tmp_path / "model", "cpu").predict(birds.render(1, size=32, seed=1)["image"][0])
    assert parts.index.shape == (32, 32)
