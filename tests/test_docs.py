"""The pages of docs/: every block of code runs, or can be parsed, or says why it is not run; nothing is out of date."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from cli.test_help import parsed
from test_tool_pages import of_cvat

from coarseparts.cli.main import app
from coarseparts.data.dataset_file import DatasetFile
from coarseparts.data.json_schema import dataset_schema

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
WRITTEN = sorted(p for p in DOCS.rglob("*.md") if not {"_build", "reference"} & set(p.relative_to(DOCS).parts))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *WRITTEN]

KINDS = ("", "sh", "python", "yaml", "text")
"""Languages of blocks; text is what is printed or drawn, and no code."""

ELSEWHERE = ("make", "source", ".venv/bin/python", "pip")
"""Programs that a block of commands may start beside ours."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; ``marker`` is what a comment right above it says."""

    page: Path
    line: int
    kind: str
    text: str
    marker: str


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    found = re.finditer(r"(?:^<!-- ((?:not )?run: .*?) -->\n)?^```(\S*)[^\n]*\n(.*?)^```$", text, re.M | re.S)
    return [Block(page, text.count("\n", 0, m.start(3)), m[2], m[3], m[1] or "") for m in found]


ALL = [block for page in PAGES for block in blocks(page) if not block.kind.startswith("{")]


def of_kind(*kinds: str) -> list[Block]:
    return [block for block in ALL if block.kind in kinds and not block.marker.startswith("not run: ")]


def commands(block: Block) -> list[list[str]]:
    """The words of each command line, continuation lines joined, comments gone."""
    lines = block.text.replace("\\\n", " ").split("\n")
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def test_every_block_is_of_a_kind_that_is_tried() -> None:
    assert len(ALL) > 40
    assert {block.kind for block in ALL} <= set(KINDS)
    for block in ALL:
        assert not block.marker.startswith("not run: ") or len(block.marker) > len("not run: ") + 10, block


@pytest.mark.parametrize("block", of_kind("", "sh"), ids=lambda b: f"{b.page.stem}-{b.line}")
def test_every_command_of_a_page_is_one_that_there_is(block: Block) -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for program, *words in commands(block):
        if program == "coarseparts":
            parsed(words[: words.index(">")] if ">" in words else words)
            continue
        assert program in ELSEWHERE, f"{block.page.name}: {program}"
        if program == "make":
            assert set(words) <= targets
        if program == "pip":
            named = re.search(r"coarseparts\[([\w,]+)\]", words[-1])
            assert named and set(named[1].split(",")) <= extras.keys()
        if "pytest" in words:
            assert all((ROOT / word).exists() for word in words[words.index("pytest") + 1 :])


@pytest.mark.parametrize("block", of_kind("yaml"), ids=lambda b: f"{b.page.stem}-{b.line}")
def test_every_dataset_file_of_a_page_is_valid(block: Block) -> None:
    assert DatasetFile.model_validate(yaml.safe_load(block.text)).sources


@pytest.mark.parametrize("name", ["library", "new_label_style"])
def test_the_code_of_a_tutorial_runs_from_top_to_bottom(name, ants, monkeypatch, capsys) -> None:
    monkeypatch.chdir(ants)
    page, names = DOCS / "tutorials" / f"{name}.md", {"__name__": name}
    for block in blocks(page):
        if block.kind == "python":
            exec(compile("\n" * block.line + block.text, str(page), "exec"), names)
    assert capsys.readouterr().out


def test_python_stands_only_on_pages_that_are_run() -> None:
    assert {block.page.stem for block in of_kind("python")} == {"README", "library", "new_label_style"}


def test_the_first_steps_of_the_cvat_tutorial_run(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    of_cvat()
    (block,) = [each for each in ALL if each.marker == "run: cvat"]
    for _, *words in commands(block):
        assert app(words, standalone_mode=False, prog_name="coarseparts") in (0, None)
    assert Path("ants.yaml").is_file()


def test_every_page_stands_in_the_contents_once() -> None:
    listed = [
        entry
        for toctree in re.findall(r"```\{toctree\}\n(.*?)```", (DOCS / "index.md").read_text(), re.S)
        for entry in toctree.split("\n")
        if entry and not entry.startswith(":") and not entry.startswith("reference/")
    ]
    assert sorted(listed) == sorted(str(p.relative_to(DOCS).with_suffix("")) for p in WRITTEN if p.stem != "index")


def test_links_between_pages_lead_somewhere() -> None:
    for page in WRITTEN:
        text = page.read_text()
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
            assert target.startswith("http") or (page.parent / target).exists(), f"{page.name}: {target}"
        for target in re.findall(r"\{doc\}`(?:[^`<]*<)?([^`>]+)>?`", text):
            page_of = (page.parent / target).with_suffix(".md")
            assert page_of.exists() or page_of.parent.name == "reference", f"{page.name}: {target}"


def test_messages_that_the_questions_quote_are_those_of_the_code() -> None:
    code = "\n".join(p.read_text() for p in (ROOT / "coarseparts").rglob("*.py"))
    quoted = [h for h in re.findall(r"^### (.*)$", (DOCS / "faq.md").read_text(), re.M) if h[0].islower()]
    told = [h for h in quoted if h in code or h.replace("'", '"') in code]
    assert len(told) >= 10 and set(quoted) - set(told) <= {"an error, but I want to go on"}


def test_figures_of_the_concepts_stand_among_the_results() -> None:
    text = (DOCS / "concepts.md").read_text().split("## What each label is worth")[1].split("## Which effort")[0]
    results = (DOCS / "results.md").read_text()
    figures = re.findall(r"\d+\.\d+", text)
    assert len(figures) >= 7 and not [figure for figure in figures if figure not in results]


def test_the_committed_schema_is_the_one_that_the_command_prints(capsys) -> None:
    assert app(["schema"], standalone_mode=False, prog_name="coarseparts") in (0, None)
    printed = capsys.readouterr().out
    assert printed == (DOCS / "dataset.schema.json").read_text()
    assert json.loads(printed) == dataset_schema()


def test_the_schema_knows_every_key_that_a_dataset_file_may_have() -> None:
    schema = dataset_schema()
    assert set(schema["properties"]) == set(DatasetFile.model_fields)
    source = schema["$defs"]["Source"]["properties"]
    assert {"images", "labels", "masks", "part_boxes", "scribbles", "only"} <= source.keys()
    assert not [key for key in source if key.startswith(":")] and "of_styles" not in source
    assert source["count"]["anyOf"][0] == {"minimum": 1, "type": "integer"}
