"""Damaged COCO files: coarse labels, part masks and part boxes of one source of the small data set."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from fuzzing import damage, world
from fuzzing.judge import ANY, SAME, SAME_OR_TOLD, TOLD, Case, check_rest, check_values, table

Tree = dict[str, Any]


def make(place: Path, base: Path, number: int, rng: Random) -> Case:
    """Case ``number``: a copy of the data set in ``place`` with one damaged file."""
    shutil.copytree(world.dataset(base), place)
    name = rng.choices(["coarse.json", "parts.json", "boxes.json"], [6, 2, 2])[0]
    file = place / "data" / "few" / name
    original = file.read_bytes()
    content, expect, what = damaged(original, name, rng)
    file.write_bytes(content)
    return case(number, name, expect, what)


def case(number: int, name: str, expect: str, what: str) -> Case:
    """A command on the damaged data: mostly ``check --json``; now and then its tables, or a training."""
    what = f"{name}: {what}"
    if number % 50 == 49:
        return Case(what, [world.TRAIN], expect, (name,), table("run/results.csv"), lambda _: None, "train")
    if number % 20 == 19:
        return Case(what, [world.CHECK[:-1]], expect, (name,), user=())
    return Case(what, [world.CHECK], expect, (name,), check_values, check_rest(), "check")


def damaged(original: bytes, name: str, rng: Random) -> tuple[bytes, str, str]:
    """The damaged content, what must come of it, and what was done."""
    way = rng.choices(["tree", "bytes", "told", "same"], [4, 2, 3, 2])[0]
    tree = json.loads(original)
    if way == "same":
        return _same(tree, rng)
    if way == "told":
        expect, what = TOLD, rng.choice(_told_of(name))(tree, rng)
        return damage.dumped(tree).encode("utf-8", "surrogatepass"), expect, what
    if way == "tree":
        what = damage.structural(tree, rng)
        content = damage.dumped(tree).encode("utf-8", "surrogatepass")
    else:
        content, what = damage.bytewise(original, rng)
    return content, meaning(content, original), what


def meaning(content: bytes, original: bytes) -> str:
    """What must come of JSON by its text alone: no JSON is told of, the same JSON is the same, else anything."""
    try:
        text = content.decode(json.detect_encoding(content)).removeprefix("\ufeff")
        found = json.loads(text, object_pairs_hook=_once)
    except RecursionError:
        return ANY
    except (ValueError, UnicodeDecodeError):
        return TOLD
    return SAME_OR_TOLD if found == json.loads(original) else ANY


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _same(tree: Tree, rng: Random) -> tuple[bytes, str, str]:
    """Another way to write down what was there."""
    way = rng.choice(
        ["bom", "utf-16", "utf-16-be", "utf-32", "order", "indent", "keys", "ids", "ids", "lists", "floats"]
    )
    if way == "order":
        tree = _shuffled(tree, rng)
    elif way == "keys":
        for entry in (tree, *(e for entries in tree.values() for e in entries)):
            entry[rng.choice(["info", "licence", "attributes", "area", "score", "Ünï", "supercategory"])] = rng.choice(
                [None, 1, "x", [], {"a": [1]}, 1e9, damage.raw("1e999"), "\u202e", damage.raw("[" * 50 + "]" * 50)]
            )
    elif way == "ids":
        which = rng.choice(["image", "category", "annotation"])
        turn: Callable[[int], Any] = rng.choice([str, float, lambda v: f"no. {v}", lambda v: v + 2**40, lambda v: -v])
        owners, users = {
            "image": (tree["images"], tree["annotations"]),
            "category": (tree["categories"], tree["annotations"]),
            "annotation": (tree["annotations"], []),
        }[which]
        for entry in owners:
            entry["id"] = turn(entry["id"])
        for entry in users:
            entry[f"{which}_id"] = turn(entry[f"{which}_id"])
        way = f"{which} ids: {owners[0]['id']!r}"
    elif way == "lists":
        for entries in (tree["images"], tree["annotations"], tree["categories"]):
            rng.shuffle(entries)
    elif way == "floats":
        for entry in tree["annotations"]:
            if "keypoints" in entry:
                entry["keypoints"] = [float(v) for v in entry["keypoints"]]
            entry["bbox"] = [float(v) for v in entry["bbox"]]
    text = damage.dumped(tree, indent=rng.choice([1, "\t"]) if way == "indent" else None)
    codec = {"bom": "utf-8-sig", "utf-16": "utf-16", "utf-32": "utf-32"}.get(way, "utf-8")
    content = b"\xfe\xff" + text.encode("utf-16-be") if way == "utf-16-be" else text.encode(codec)
    return content, SAME, f"the same, {way}"


def _shuffled(value: Any, rng: Random) -> Any:
    if isinstance(value, list):
        return [_shuffled(each, rng) for each in value]
    if isinstance(value, dict):
        return {key: _shuffled(value[key], rng) for key in rng.sample(list(value), len(value))}
    return value


def _entry(tree: Tree, rng: Random, having: str = "id") -> Tree:
    return rng.choice([entry for entry in tree["annotations"] if having in entry])


def _no_image(tree: Tree, rng: Random) -> str:
    value = rng.choice([999, -1, None, "nowhere", [], {}, 1.5, damage.raw("1e999"), damage.raw("NaN"), 10**40])
    _entry(tree, rng)["image_id"] = value
    return f"image_id {value!r:.20}"


def _no_category(tree: Tree, rng: Random) -> str:
    value = rng.choice([999, 0, None, "none", [], {}, 0.5, damage.raw("1e999")])
    _entry(tree, rng)["category_id"] = value
    return f"category_id {value!r:.20}"


def _bad_keypoints(tree: Tree, rng: Random) -> str:
    entry = _entry(tree, rng)
    numbers = entry["keypoints"]
    name = rng.choice(damage.NO_NUMBER)
    at = rng.randrange(len(numbers) // 3) * 3
    ways: dict[str, Any] = {
        "one less": numbers[:-1],
        "one more": [*numbers, 1],
        "points as lists": [numbers[i : i + 3] for i in range(0, len(numbers), 3)],
        "no list": rng.choice([1, "many", True, {"a": 1}]),
        f"{name} at {at}": [*numbers[:at], damage.EDGES[name], *numbers[at + 1 :]],
        "visibility 3": [*numbers[:2], 3, *numbers[3:]],
        "visibility 0.5": [*numbers[:2], 0.5, *numbers[3:]],
        "visibility NaN": [*numbers[:2], float("nan"), *numbers[3:]],
    }
    way = rng.choice(list(ways))
    entry["keypoints"] = ways[way]
    return f"keypoints, {way}"


def _bad_box(tree: Tree, rng: Random) -> str:
    entry = _entry(tree, rng)
    x, y, w, h = entry["bbox"]
    name = rng.choice(damage.NO_NUMBER)
    box = rng.choice(
        [
            [x, y, w],
            [x, y, w, h, 1],
            [x, y, -w, h],
            [x, y, 0, h],
            [x, y, w, damage.EDGES[name]],
            [damage.EDGES[name], y, w, h],
            [[x, y], [w, h]],
            "a box",
            {"x": x, "y": y, "w": w, "h": h},
            [x + 1000, y, w, h],
            True,
            7,
        ]
    )
    entry["bbox"] = box
    return f"bbox {box!r:.60}"


def _bad_segmentation(tree: Tree, rng: Random) -> str:
    entry = _entry(tree, rng)
    name = rng.choice(damage.NO_NUMBER)
    edge = damage.EDGES[name]
    side = world.SIDE
    code = world.compressed(__import__("numpy").eye(side) > 0)
    found = rng.choice(
        [
            {"size": [side + 1, side], "counts": code["counts"]},
            {"size": [side, side], "counts": code["counts"][:-1]},
            {"size": [side, side], "counts": code["counts"] + "1"},
            {"size": [side, side], "counts": "\x7f\x01"},
            {"size": [side, side], "counts": [side * side - 1]},
            {"size": [side, side], "counts": [-1, side * side + 1]},
            {"size": [side, side], "counts": [10**40]},
            {"size": [side, side], "counts": [2**63, 1]},
            {"size": [side, side], "counts": [0.5, side * side - 0.5]},
            {"size": [side, side], "counts": [edge]},
            {"size": [side], "counts": code["counts"]},
            {"size": [edge, side], "counts": code["counts"]},
            {"size": [10**6, 10**6], "counts": [10**12]},
            {"size": [side, side]},
            {"counts": code["counts"]},
            {"size": [side, side], "counts": 7},
            [[1, 1, 5, 5]],
            [[1, 1, 5, 5, 5]],
            [[1, 1, 5, 5, 5, edge]],
            [[edge]],
            [edge, [1, 1, 9, 1, 9, 9]],
            [1, 1, 9, 1, 9, 9],
            "a mask",
            7,
            True,
            [[1, 1, 1e8, 1, 9, 9]],
            [[900, 900, 950, 900, 950, 950]],
        ]
    )
    entry["segmentation"] = found
    return f"segmentation {found!r:.60}"


def _bad_image(tree: Tree, rng: Random) -> str:
    entry = rng.choice(tree["images"])
    key, value = rng.choice(
        [
            ("id", None),
            ("id", []),
            ("id", {}),
            ("id", damage.raw("NaN")),
            ("file_name", None),
            ("file_name", ""),
            ("file_name", 7),
            ("file_name", ["a"]),
            ("file_name", "../outside.png"),
            ("file_name", "/etc/passwd"),
            ("file_name", "C:\\birds.png"),
            ("file_name", "nowhere.png"),
            ("file_name", "a\0b.png"),
            ("file_name", damage.raw('"\\ud800.png"')),
            ("file_name", "\x1b[31m.png"),
            ("file_name", "x" * 5000),
        ]
    )
    entry[key] = value
    return f"image {key} {value!r:.30}"


def _listed_twice(tree: Tree, rng: Random) -> str:
    key = rng.choice(["images", "annotations"])
    tree[key].append(dict(rng.choice(tree[key])))
    return f"{key}: an entry twice"


def _bad_category(tree: Tree, rng: Random) -> str:
    entry = rng.choice(tree["categories"])
    key, value = rng.choice([("id", None), ("id", []), ("id", 77)])
    entry[key] = value
    return f"category {key} {value!r}"


def _bad_keypoint_names(tree: Tree, rng: Random) -> str:
    entry = tree["categories"][0]
    names = entry["keypoints"]
    value = rng.choice([names[:-1], [*names[:-1], names[0]], [*names, "tail"], "names", [1] * len(names), {"a": 1}, 7])
    entry["keypoints"] = value
    return f"keypoint names {value!r:.30}"


def _no_lists(tree: Tree, rng: Random) -> str:
    key = rng.choice(["images", "annotations", "categories"])
    value = rng.choice([None, {}, "list", 3, True])
    if rng.random() < 0.3:
        del tree[key]
        return f"{key} dropped"
    tree[key] = value
    return f"{key} is {value!r}"


def _part_unknown(tree: Tree, rng: Random) -> str:
    entry = rng.choice(tree["categories"])
    entry["name"] = rng.choice(["haed", "", "HEAD ", "a\0b", "\u202etail", damage.raw('"\\udfff"'), "x" * 5000])
    return f"category name {entry['name']!r:.30}"


_FOR_ALL = [_no_image, _no_category, _bad_image, _listed_twice, _bad_category, _no_lists]


def _told_of(name: str) -> list[Callable[[Tree, Random], str]]:
    return {
        "coarse.json": [*_FOR_ALL, _bad_keypoints, _bad_keypoints, _bad_box, _bad_segmentation, _bad_keypoint_names],
        "parts.json": [*_FOR_ALL, _bad_segmentation, _bad_segmentation, _part_unknown],
        "boxes.json": [*_FOR_ALL, _bad_box, _bad_box, _part_unknown],
    }[name]
