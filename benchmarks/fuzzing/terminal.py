"""Hostile names of parts, keypoints, categories, files, folders and arguments; and misuse of every option."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from fuzzing import world
from fuzzing.judge import ANY, SAME_OR_TOLD, TOLD, Case, check_values
from fuzzing.process import Outcome

HOSTILE = [
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x1b[2J",
    "\u202egpj.exe",
    "\u2066x\u2069",
    "\u200fx",
    "[bold red]x[/bold red]",
    "[/]",
    "[link=file:///etc/passwd]x[/link]",
    ":smile:",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</svg><svg onload=alert(1)>",
    "&lt;b&gt;",
    "=cmd|'!A1",
    "+1+1",
    "-1+cmd",
    "@SUM(1)",
    "\t=1",
    "a\nb",
    "a\rb",
    "\x7f",
    "\x9b31m",
    "\udcff",
    "\u200bx",
    "\ufeffx",
    "\u2028",
    "$(touch hacked)",
    "`code`",
    "%s%n{0}",
    "{{7*7}}",
    "a,b",
    'a"b',
    "a|b",
    "**b**",
    "$x_1$",
    "\\x1b",
    "x" * 120,
    "名前",
    "e\u0301",
]
ONLY_JSON = ["a\0b", "\ud800", "\U000e0041", "\ufdd0", ""]
"""What no file name and no argument can be."""

MISUSE = [
    *HOSTILE,
    *("", " ", ",", "-1", "0", "1e999", "99999999999999999999", "NaN", "1,1", "=", "a=", "=b", "batch", "batch=-1"),
    *(
        "batch=1e999",
        "batch=[",
        "batch=NaN",
        "batch=" + "9" * 5000,
        "em=1",
        "em.alpha={a: 1}",
        "size=100000",
        "1/0",
        "2/1",
    ),
    *("encoder=resnet999", "encoder=../../etc/passwd", "weights=/dev/null", "/dev/null", "/dev/full", "/proc/self/mem"),
    *(
        "nowhere",
        "data",
        "data/birds.yaml",
        "data/few/coarse.json",
        "data/few/images/bird 000.png",
        "x" * 5000,
        "ünï",
        "~nobody",
    ),
    *(
        "part_lr=0.1,0.1",
        "part_lr=1:0",
        "part_lr=0:1:log",
        "decoder=a,b",
        "batch=1:2:log:3",
        "em",
        "all",
        "train",
        "../x",
    ),
]

OPTIONS: dict[tuple[str, ...], Sequence[str]] = {
    world.CHECK[:-1]: ("", "data/birds.yaml", "--sheet"),
    (*world.TRAIN,): ("data/birds.yaml", "--method", "--preset", "--weights", "--labels", "--parts-limit", "--set"),
    (*world.TRAIN, "--seed", "0"): ("--seed", "--device", "--out"),
    world.EVALUATE: ("run", "--data", "--split", "--model", "--device", "--nonsense"),
    world.PREDICT: ("run", "data/many/images", "--out", "--labels", "--coco", "--shard", "--device"),
    ("compare", "data/birds.yaml", "--out", "run", *world.SMALL): ("--methods", "--seeds", "--preset", "--set"),
    (*world.BENCHMARK, "--dry-run"): ("--methods", "--parts", "--labels", "--starts", "--seeds", "--preset", "--split"),
    world.SWEEP: ("--over", "--method", "--sampler", "--trials", "--parts"),
    ("prepare", "nabirds", "data", "--out", "made"): ("nabirds", "data", "--with"),
    ("settings",): ("settings", "--set", "--nonsense"),
    ("networks",): ("--nonsense",),
    ("demo", "--out", "made"): ("--device",),
}
"""Commands, and of each what is replaced (a word of it) or added (an option)."""


def make(place: Path, base: Path, number: int, rng: Random) -> Case:
    """Case ``number``: every twelfth trains with hostile names, the others check, predict or misuse an option."""
    if number % 12 == 11:
        return _trained(place, base, rng)
    if number % 3 == 0:
        return _misused(place, base, rng)
    return _predicted(place, base, rng) if number % 6 == 5 else _checked(place, base, rng)


def file_name(rng: Random) -> str:
    """A hostile text that a file can be called by."""
    return rng.choice(HOSTILE).replace("/", "\u2215")


def undamaged(place: Path, base: Path, twin: str) -> list[tuple[str, ...]]:
    """The data set as it is, and what is called on it."""
    world.undamaged(place, base, twin)
    return [world.CHECK]


def _checked(place: Path, base: Path, rng: Random) -> Case:
    shutil.copytree(world.dataset(base), place)
    what, yaml = hostile(place, rng, rng.sample(["parts", "keypoints", "category", "image", "folder", "yaml"], 2))
    if rng.random() < 0.5:
        return Case(what, [("check", yaml)], SAME_OR_TOLD, ("data",), user=())
    return Case(what, [("check", yaml, "--json")], SAME_OR_TOLD, ("data",), numbers, twin="numbers")


def numbers(place: Path, outcomes: Sequence[Outcome]) -> Any:
    """What ``check`` counts, in the order of the names and without them."""
    found = check_values(place, outcomes)
    return _unnamed({key: found[key] for key in ("splits", "part_share", "part_samples", "keypoints")})


def _unnamed(value: Any) -> Any:
    return [_unnamed(each) for each in value.values()] if isinstance(value, dict) else value


def hostile(place: Path, rng: Random, which: Sequence[str]) -> tuple[str, str]:
    """Gives some things in ``place/data`` hostile names; says which, and how the dataset file is called."""
    data, said = place / "data", []
    name = file_name(rng)
    yaml = json.loads((data / "birds.yaml").read_text())
    if "parts" in which or "keypoints" in which:
        word = rng.choice([*HOSTILE, *ONLY_JSON])
        said.append(f"names {word!r:.30}")
        for key, files in (("parts", ("parts.json", "boxes.json")), ("keypoints", ("coarse.json",))):
            if key not in which:
                continue
            new = {old: f"{word}{i}" for i, old in enumerate(yaml[key])}
            yaml[key] = [new[old] for old in yaml[key]]
            for file in (path for each in files for path in data.rglob(each)):
                coco = json.loads(file.read_text())
                for entry in coco["categories"]:
                    if key == "parts":
                        entry["name"] = new[entry["name"]]
                    else:
                        entry["keypoints"] = [new[old] for old in entry["keypoints"]]
                file.write_text(json.dumps(coco))
    if "category" in which:
        said.append("category")
        for file in data.rglob("coarse.json"):
            coco = json.loads(file.read_text())
            coco["categories"][0]["name"] = rng.choice([*HOSTILE, *ONLY_JSON])
            file.write_text(json.dumps(coco))
    if "image" in which:
        said.append(f"image {name!r:.30}")
        _rename_image(data / "few", "bird 000.png", f"{name}.png")
    if "folder" in which:
        said.append(f"folder {name!r:.30}")
        (data / "many").rename(data / name)
        for source in yaml["sources"]:
            for key, value in source.items():
                source[key] = re.sub("^many/", lambda _: f"{name}/", value)
    target = data / (f"{name}.yaml" if "yaml" in which else "birds.yaml")
    (data / "birds.yaml").unlink()
    target.write_text(json.dumps(yaml))
    return ", ".join(said) or f"dataset file {name!r:.30}", f"data/{target.name}"


def _rename_image(folder: Path, old: str, new: str) -> None:
    for kind in ("images", "masks"):
        (folder / kind / old).rename(folder / kind / new)
    for file in folder.glob("*.json"):
        coco = json.loads(file.read_text())
        for entry in coco["images"]:
            entry["file_name"] = new if entry["file_name"] == old else entry["file_name"]
        file.write_text(json.dumps(coco))


def _trained(place: Path, base: Path, rng: Random) -> Case:
    shutil.copytree(world.dataset(base), place)
    what, yaml = hostile(place, rng, [rng.choice(["parts", "keypoints"]), "category", "image", "folder", "yaml"])
    out = f"run{file_name(rng)}"
    commands: list[tuple[str, ...]] = [
        ("train", yaml, "--out", out, *world.SMALL),
        ("evaluate", out),
        ("predict", out, "data/few/images", "--out", f"{out}.maps", "--overlay", "--coco", f"{out}.json"),
        ("predict", out, "data/few/images", "--out", "maps", "--labels", "data/few/coarse.json"),
    ]
    return Case(f"a training: {what}, run {out!r:.30}", commands, ANY, ("data", out[:3]))


def _predicted(place: Path, base: Path, rng: Random) -> Case:
    from fuzzing.run_folder import undamaged as run_in

    run_in(place, base, "predict")
    name = file_name(rng)
    photographs = place / "data" / f"photos{name}"
    shutil.copytree(place / "data" / "many" / "images", photographs)
    next(iter(sorted(photographs.iterdir()))).rename(photographs / f"{name}.png")
    (photographs / f"bad {name}.jpg").write_bytes(b"no image")
    (place / "run").rename(place / f"run{name}")
    command = ("predict", f"run{name}", f"data/photos{name}", "--out", f"maps{name}", "--overlay")
    command = (*command, "--coco", f"{name}.json", *(["--skip-bad"] if rng.random() < 0.7 else []))
    expect = ANY if "--skip-bad" in command else TOLD
    return Case(f"predict with {name!r:.30} everywhere", [command], expect, ("bad ", "run"), None, user=("data",))


def _misused(place: Path, base: Path, rng: Random) -> Case:
    command = rng.choice(list(OPTIONS))
    if command[0] in ("evaluate", "predict"):
        from fuzzing.run_folder import undamaged as run_in

        run_in(place, base, "predict")
    else:
        shutil.copytree(world.dataset(base), place)
    option, value = rng.choice(OPTIONS[command]), rng.choice(MISUSE)
    words = list(command)
    if option in words and not option.startswith("--"):
        words[words.index(option)] = value
    elif option in words and words.count(option) == 1:
        words[words.index(option) + 1] = value
    else:
        words += [option, value] if option else [value]
    core = max(re.findall(r"[\w ./=,+-]+", value, re.ASCII) or [""], key=len)[:12].strip()
    visible = "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in value)[:12]
    words_of_it = (option, core, visible, value.partition("=")[0], option.strip("-").replace("-", "_"))
    named = tuple(word for word in words_of_it if word) if value else (option, "is empty")
    return Case(
        f"{command[0]}, {option} {value!r:.40}",
        [tuple(words)],
        ANY,
        named,
        user=("data",) if option != "--sheet" else (),
    )
