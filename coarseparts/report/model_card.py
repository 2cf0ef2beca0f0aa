"""A model card: what a model was trained on, how good it was found and where it is weak, for whoever gets it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from coarseparts.system.text import markdown_cell

FILE = "model_card.md"


@dataclass(frozen=True)
class ModelCard:
    """Facts by heading, in their order; in the report as well as in a file of its own."""

    title: str
    sections: Mapping[str, Mapping[str, str]]

    def to_markdown(self) -> str:
        """A table under each heading; no text is taken for markup."""
        lines = [f"# {markdown_cell(self.title)}"]
        for heading, facts in self.sections.items():
            lines += ["", f"## {markdown_cell(heading)}", "", "| | |", "| --- | --- |"]
            lines += [f"| {markdown_cell(name)} | {markdown_cell(value)} |" for name, value in facts.items()]
        return "\n".join(lines) + "\n"
