"""How true measurements are: traits of predicted parts against those of the true masks, on a run's test images.

    python benchmarks/traits.py RUN [DATA.yaml] [--others FOLDER] [--splits 200]

Photographs are measured as ``coarseparts measure`` does it, once from the image alone and once with all labels given,
with the intervals of the validation images. Of each value: in how many images it could be measured in both; correlation
(Pearson's and Spearman's); bias, the mean of predicted less true by true, in percent (of colours and directions the
mean difference itself, in levels and degrees; of places in percent of the object's size); how often the 90 % interval
held the true value; its usual half width. "halves": the same coverage where one random half of the test images gives
the intervals of the other, on average: what the method holds where nothing was chosen on the images that calibrate.
Last, how many images are flagged; with ``--others`` also of photographs of something else, as the validation images
were with the image alone.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.stats import pearsonr, spearmanr

from coarseparts.data.images import list_images, read_photograph
from coarseparts.data.sample import Sample
from coarseparts.inference.evaluate import dataset_of, records_of
from coarseparts.inference.model import Model, load
from coarseparts.inference.predict import predict_samples
from coarseparts.measurement.calibration import MOST, calibrate, certainty_of, reference, seen_in, validation
from coarseparts.measurement.intervals import UNCERTAIN, UNLIKE, Calibration, rare, strangeness
from coarseparts.measurement.shapes import COLOURS
from coarseparts.measurement.traits import names_of

MOST_OTHERS = 60


def kind(name: str) -> str:
    return name.rpartition(".")[2]


def compared(name: str, test: Calibration) -> np.ndarray:
    """(N, 2) predicted and true where both are known."""
    both = np.array([(p[name], t[name]) for p, t in test.pairs])
    return both[np.isfinite(both).all(1)]


def bias(name: str, both: np.ndarray, sizes: np.ndarray) -> str:
    predicted, true = both.T
    if kind(name) == "orientation":
        return f"{((predicted - true + 90) % 180 - 90).mean():+.1f} deg"
    if kind(name) in COLOURS:
        return f"{(predicted - true).mean():+.1f}"
    if kind(name).startswith("centroid_"):
        return f"{100 * ((predicted - true) / sizes).mean():+.1f} %"
    return f"{100 * (predicted[true > 0] / true[true > 0] - 1).mean():+.1f} %"


def coverage(names: Sequence[str], calibration: Calibration, test: Calibration) -> dict[str, float]:
    """Percent by name, of images where both values are known and there is an interval; nan where there is none."""
    of = calibration.intervals(names)
    held: dict[str, list[bool]] = {name: [] for name in names}
    for predicted, true in test.pairs:
        for name, (low, high) in of(predicted).items():
            if not math.isnan(true[name]):
                # Directions are the same after half a turn.
                turns = (-180.0, 0.0, 180.0) if kind(name) == "orientation" else (0.0,)
                held[name].append(any(low <= true[name] + turn <= high for turn in turns))
    return {name: 100 * float(np.mean(each)) if each else math.nan for name, each in held.items()}


def halves(names: Sequence[str], test: Calibration, times: int) -> dict[str, float]:
    """Mean coverage over random halves."""
    rng, found = np.random.default_rng(0), []
    for _ in range(times):
        order = rng.permutation(len(test.pairs))
        one, other = (Calibration([test.pairs[i] for i in half]) for half in np.array_split(order, 2))
        found.append(list(coverage(names, one, other).values()))
    return dict(zip(names, np.nanmean(found, 0).tolist(), strict=True))


def table(model: Model, calibration: Calibration, test: Calibration, splits: int) -> None:
    names = [name for name in names_of(model.schema.parts) if kind(name) != "pieces"]
    covered, fair = coverage(names, calibration, test), halves(names, test, splits)
    heads = f"{'Pearson':>8s} {'Spearman':>8s} {'bias':>9s} {'held':>8s} {'halves':>7s} {'within':>8s}"
    print(f"{'value':28s} {'n':>4s} {heads}")
    for name in names:
        known = [(p, t) for p, t in test.pairs if math.isfinite(p[name]) and math.isfinite(t[name])]
        both = compared(name, test)
        sizes = np.array([math.sqrt(t["object.area"]) for _, t in known])
        turning = kind(name) == "orientation"
        r = (math.nan, math.nan) if turning else (pearsonr(*both.T)[0], spearmanr(*both.T)[0])
        of = calibration.intervals([name])
        widths = [(high - low) / 2 for p, _ in test.pairs for low, high in of(p).values()]
        values = [p[name] for p, _ in test.pairs if of(p)]
        plain = turning or kind(name) in COLOURS or kind(name).startswith("centroid_")
        half = float(np.median(widths if plain else np.array(widths) / values)) if widths else math.nan
        within = f"{half:.0f}" if plain else f"{100 * half:.0f} %"
        cells = f"{covered[name]:6.1f} % {fair[name]:5.1f} % {within:>8s}"
        told = " ".join("       -" if math.isnan(v) else f"{v:8.3f}" for v in r)
        print(f"{name:28s} {len(both):4d} {told} {bias(name, both, sizes):>9s} {cells}")
    every, each = np.array(list(covered.values())), np.array(list(fair.values()))
    within = ((every >= 85) & (every <= 95)).sum()
    print(
        f"coverage, mean over {len(names)} values: {every.mean():.1f} % ({every.min():.1f} to {every.max():.1f}), "
        f"{within} of them within 85..95 %; halves: {each.mean():.1f} % ({each.min():.1f} to {each.max():.1f})"
    )


def flagged(calibration: Calibration, seen: Calibration, what: str) -> None:
    """``seen``: how certain and how strange those images are."""
    doubt = [-each for each in calibration.certainty]
    counts = {
        UNCERTAIN: sum(rare(doubt, -each) for each in seen.certainty),
        UNLIKE: sum(rare(calibration.strangeness, each) for each in seen.strangeness),
    }
    total = len(seen.certainty)
    print(f"{total} {what}: " + ", ".join(f"{100 * n / total:.1f} % {flag}" for flag, n in counts.items()), flush=True)


def looked_at(model: Model, folder: Path, learned: np.ndarray) -> Calibration:
    """Some photographs of a folder, as far as flags take them."""
    paths = [path for _, path in list_images(folder)]
    certainty, apart = [], []
    for path in paths[:: -(-len(paths) // MOST_OTHERS)]:
        sample = Sample(path.name, read_photograph(path).array)
        predicted = predict_samples(model.fast, [sample])
        certainty.append(certainty_of(predicted[0]))
        apart += strangeness(seen_in(model, [sample], predicted), learned).tolist()
    return Calibration([], certainty, apart)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--others", type=Path)
    parser.add_argument("--splits", type=int, default=200)
    chosen = parser.parse_args()
    model, data = load(chosen.run, "cpu"), chosen.data or dataset_of(chosen.run)
    records = {split: records_of(model, data, split) for split in ("train", "val", "test")}
    images = [record.load()[0] for record in records["train"][:: -(-len(records["train"]) // MOST)]]
    learned = reference(model, images)
    for styles in ([], model.styles):
        valid = calibrate(model, validation(model, records["val"], styles), styles, learned)
        test = calibrate(model, validation(model, records["test"], styles), styles, learned)
        given = " + ".join(styles) or "the image alone"
        print(f"\n## given {given}: {len(test.pairs)} test images, {len(valid.pairs)} validation images", flush=True)
        table(model, valid, test, chosen.splits)
        flagged(valid, test, "test images")
        if chosen.others and not styles:
            flagged(valid, looked_at(model, chosen.others, learned), "photographs of something else")


if __name__ == "__main__":
    main()
