"""What the README says: its tables are those of the committed logs, its example file is one that can be read."""

import re
import subprocess
import sys
from pathlib import Path

import yaml

from coarseparts.data.dataset_file import DatasetFile

ROOT = Path(__file__).resolve().parent.parent


def test_tables_are_those_of_the_committed_results():
    assert subprocess.run([sys.executable, ROOT / "benchmarks" / "tables.py", "--check"]).returncode == 0


def test_every_table_has_its_log_beside_it():
    pages = [ROOT / "README.md", ROOT / "docs" / "results.md"]
    names = [name for page in pages for name in re.findall(r"<!-- (\w+) table -->", page.read_text())]
    assert len(names) == len(set(names)) >= 6
    for name in names:
        assert (
            ROOT / "benchmarks" / f"{name.removesuffix('_by_part').removesuffix('_short')}.log"
        ).stat().st_size > 100


def test_the_example_file_and_the_examples_are_valid():
    block = re.search(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block is not None
    texts = [block[1], *(p.read_text() for p in (ROOT / "examples").glob("*.yaml"))]
    assert len(texts) >= 3
    for text in texts:
        assert DatasetFile.model_validate(yaml.safe_load(text)).sources


def test_files_that_the_readme_links_to_exist():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert target.startswith("http") or (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_library_is_as_its_pages_say(ants, monkeypatch, capsys):
    monkeypatch.chdir(ants)
    for page in (ROOT / "README.md", ROOT / "docs" / "library.md"):
        text, names = page.read_text(), {"__name__": page.stem}
        blocks = list(re.finditer(r"```python\n(.*?)```", text, re.DOTALL))
        assert blocks
        for block in blocks:
            line = text.count("\n", 0, block.start(1))
            exec(compile("\n" * line + block[1], str(page), "exec"), names)
    assert capsys.readouterr().out
