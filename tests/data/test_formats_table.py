"""The table of formats in the docs: the one that the benchmark printed, and nothing else."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]


def table(text: str, head: str) -> list[str]:
    """The lines of a Markdown table, from its head on."""
    lines = text.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith(head))
    last = next((i for i in range(first, len(lines)) if not lines[i].startswith("|")), len(lines))
    return lines[first:last]


def test_the_table_of_formats_is_what_the_benchmark_printed() -> None:
    log = (ROOT / "benchmarks" / "formats.log").read_text()
    page = (ROOT / "docs" / "coverage.md").read_text()
    printed = table(log, "| format |")
    assert len(printed) > 9 and table(page, "| format |") == printed
    assert "python benchmarks/formats.py" in log.splitlines()[0] and "NO" not in "".join(printed)
