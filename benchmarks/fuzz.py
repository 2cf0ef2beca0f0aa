"""Damages small data sets, run folders and arguments, and counts what the command line gets wrong.

    python benchmarks/fuzz.py --kind coco --count 10000 --out runs/fuzz --jobs 2

Kinds: coco, exports, sleap (where sleap-io is installed), dataset-file, run-folder, images, json, terminal (forks of a
process that has imported the command line), signals, kills, sizes (processes of their own). ``--kind coco:40,json:20``
does several. A case's number and ``--seed`` decide everything about it; the same command again goes on where it was
stopped. Every case is a line of OUT/cases.jsonl; failing ones stay with their files under OUT/failures, with a
command.txt that repeats them.

Exit status 1 when there is any finding: a traceback (or an "unforeseen error"), a hang, a wrong exit status, a message
that does not name what is damaged, a half-written file, a user's file that was changed, control characters in what is
printed or written, a value that differs from the undamaged twin's without a word.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from fuzzing.campaign import KINDS, Campaign, ascii_line, run, table


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--kind", required=True, help=f"of {', '.join(KINDS)}, with :COUNT if several")
    options.add_argument("--count", type=int, default=100, help="how many cases")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--out", type=Path, default=Path("runs/fuzz"), help="folder of the journal and the failures")
    options.add_argument("--jobs", type=int, default=1, help="worker processes")
    options.add_argument("--case", type=int, help="this case alone, with everything that it says")
    given = options.parse_args()
    asked = [(name, int(count or given.count)) for name, _, count in (k.partition(":") for k in given.kind.split(","))]
    for name, _ in asked:
        if name not in KINDS:
            options.error(f"no such kind {name!r}; choose of {', '.join(KINDS)}")
    if given.case is not None:
        what, found, seconds = Campaign(asked[0][0], given.seed, given.out).one(given.case, explain=True)
        print(ascii_line(f"{asked[0][0]} {given.case}: {what} ({seconds:.1f} s)"))
        print(*(ascii_line(f"  {f.kind}: {f.text}") for f in found) if found else ["  no finding"], sep="\n")
        return 1 if found else 0
    since = time.monotonic()
    rows = run(asked, given.seed, given.out, given.jobs)
    print(*table(rows), sep="\n")
    failed = [row for row in rows if row["findings"]]
    for row in failed[:20]:
        said = f"{row['kind']} {row['number']} ({row['what'][:100]}): {row['findings'][0]['kind']}"
        print(ascii_line(f"{said}: {row['findings'][0]['text'][:200]}"))
    print(f"{len(rows)} cases, {len(failed)} with findings, {time.monotonic() - since:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # at once: libraries that the forks need would complain of their own ends
