"""What EM's few part masks are worth in part masks of fine-tuning: python benchmarks/label_multiplier.py [CSV].

Reads the rows of benchmarks/label_multiplier.csv and prints, for every row of EM, the sentence that `coarseparts
benchmark` writes where both methods were tried with several numbers of part masks.
"""

from __future__ import annotations

import sys
from pathlib import Path

from coarseparts.report.label_curves import multiplier_sentences
from coarseparts.report.results import read_results


def sentences(path: Path) -> list[str]:
    """Raises FileNotFoundError where there is no such table."""
    lines: dict[str, list[tuple[float, ...]]] = {}
    for result in read_results(path):
        lines.setdefault(result.method, []).append((float(result.parts), result.part_miou))
    return [said for ours in lines if ours.startswith("em") for said in multiplier_sentences(lines, ours)]


if __name__ == "__main__":
    default = Path(__file__).with_name("label_multiplier.csv")
    print("\n".join(sentences(Path(sys.argv[1]) if len(sys.argv) > 1 else default)))
