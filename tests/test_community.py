"""Files for people who take part: each is there, says what is true now, and calls what there is."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_version_stands_in_one_place_and_the_others_agree() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"] == version("coarseparts")
    assert f"## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text()
    assert citation["license"] == PROJECT["license"] and citation["preferred-citation"]["year"] == 2022


def test_workflows_call_targets_of_the_makefile() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))
    flows = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    assert [flow.stem for flow in flows] == ["docs", "lint", "tests", "wheel"]
    for flow in flows:
        (job,) = yaml.safe_load(flow.read_text())["jobs"].values()
        (command,) = [step["run"] for step in job["steps"] if "run" in step]
        assert command.split()[0] == "make" and command.split()[1] in targets


def test_forms_for_faults_ask_for_what_the_doctor_says() -> None:
    forms = {form.stem: yaml.safe_load(form.read_text()) for form in (ROOT / ".github" / "ISSUE_TEMPLATE").iterdir()}
    assert forms.keys() == {"fault", "data", "wish"}
    for name in ("fault", "data"):
        assert "coarseparts doctor" in str(forms[name]["body"])


def test_what_extras_need_is_not_needed_without_them() -> None:
    extras = PROJECT["optional-dependencies"]
    core = {re.split(r"[><=\[]", need)[0] for need in PROJECT["dependencies"]}
    assert not core & {"tensorboard", "optuna", "scikit-image", "sphinx"}
    assert {"measure", "formats", "tensorboard", "sweep", "docs", "all", "dev"} <= extras.keys()
    named = re.search(r"\[([\w,]+)\]", extras["all"][0])
    assert named and set(named[1].split(",")) == extras.keys() - {"all", "docs", "dev"}
