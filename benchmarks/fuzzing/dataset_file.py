"""Damaged dataset files: YAML that is written otherwise, means nothing, or means too much."""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import yaml

from fuzzing import damage, world
from fuzzing.coco import meaning as meaning_of_json
from fuzzing.judge import ANY, SAME, SAME_OR_TOLD, TOLD, Case, check_values

NAME = "birds.yaml"
Tree = dict[str, Any]


def make(place: Path, base: Path, number: int, rng: Random) -> Case:
    """Case ``number``: the data set with a damaged dataset file."""
    shutil.copytree(world.dataset(base), place)
    file = place / "data" / NAME
    original = json.loads(file.read_text())
    way = rng.choices(["same", "told", "tree", "bytes", "text"], [3, 5, 3, 2, 2])[0]
    named = (NAME,)
    if way == "same":
        content, expect, what = _same(original, rng, place)
    elif way == "told":
        content, named, what = _told(original, rng)
        expect = TOLD
    elif way == "text":
        content, expect, what = rng.choice(_TEXTS)(original, rng)
    elif way == "tree":
        tree = copy.deepcopy(original)
        what = damage.structural(tree, rng)
        content = damage.dumped(tree).encode("utf-8", "surrogatepass")
        expect = SAME_OR_TOLD if meaning_of_json(content, json.dumps(original).encode()) == SAME_OR_TOLD else ANY
        named = (NAME, "images", ".json", "masks", "many", "few", "val")  # a wrong path is what is named
    else:
        content, what = damage.bytewise(_block(original), rng)
        expect, named = ANY, (NAME, "images", ".json", "masks", "many", "few", "val")
        expect = SAME_OR_TOLD if _plainly(content) == original else ANY
    file.write_bytes(content)
    command = world.CHECK if number % 10 else world.CHECK[:-1]
    values, twin = (check_values, "check") if "--json" in command else (None, None)
    user = ("data",) if "--json" in command else ()
    # What another data set holds is not comparable: of a value that was changed for another one nothing is.
    return Case(what, [command], expect, named, values, lambda _: None, twin, user=user)


def _plainly(content: bytes) -> Any:
    try:
        return yaml.safe_load(content.decode())
    except Exception:
        return None


def _block(tree: Tree) -> bytes:
    return yaml.safe_dump(tree, sort_keys=False).encode()


def _same(tree: Tree, rng: Random, place: Path) -> tuple[bytes, str, str]:
    """The same said in other words."""
    tree = copy.deepcopy(tree)
    way = rng.choice(
        "block flow bom utf-16 crlf comments order start alias absolute dots tagged quoted slashes tilde folded".split()
    )
    if way == "absolute":
        for source in tree["sources"]:
            source["images"] = str(place / "data" / source["images"])
    elif way in ("dots", "slashes"):
        for source in tree["sources"]:
            first = source["images"].split("/")[0]
            source["images"] = f"./{first}/../{first}/images" if way == "dots" else f"{first}//images/"
    elif way == "order":
        tree = {key: tree[key] for key in rng.sample(list(tree), len(tree))}
    elif way == "tilde":
        tree["keypoint_parts"] = None
    options = {
        "flow": {"default_flow_style": True},
        "start": {"explicit_start": True, "explicit_end": True, "version": (1, 1)},
        "quoted": {"default_flow_style": None},
        "folded": {"width": 20},
    }.get(way, {})
    text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, **options)
    if way == "crlf":
        return text.replace("\n", "\r\n").encode(), SAME, way
    if way == "comments":
        text = "# Größe\n" + text.replace("\n", "  # a remark\n\n", 3)
    if way == "alias":
        text = text.replace("mirror: []", "mirror: &none []", 1).replace(
            "keypoint_mirror: []", "keypoint_mirror: *none"
        )
    if way == "tagged":
        text = text.replace(f"size: {world.SIDE}", f"size: !!int '{world.SIDE}'")
    codec = {"bom": "utf-8-sig", "utf-16": "utf-16"}.get(way, "utf-8")
    return text.encode(codec), SAME, f"the same, {way}"


def _told(tree: Tree, rng: Random) -> tuple[bytes, tuple[str, ...], str]:
    """A value that is wrong by itself; the names of which one must be told."""
    tree = copy.deepcopy(tree)
    source = rng.choice(tree["sources"])
    level = rng.choice(["top", "source", "crop", "path", "drop", "names"])
    if level == "path":
        key = rng.choice([k for k in source if k != "split"])
        value = rng.choice(
            [
                *("nowhere", "birds.yaml/images", "", "/", "/dev/null", "/dev/zero", "a\0b", "x" * 5000, "../..", "."),
                *("~nobody/images", "\x1b[31m", "nowhere\u202egpj", "~"),
                "few/images" if key != "images" else "few/coarse.json",
            ]
        )
        source[key] = value
        home = (os.path.expanduser(value),) if value == "~" else ()
        return _block(tree), (NAME, *_shown(value), *home), f"{key}: {value!r:.40}"
    if level == "drop":
        where, keys = rng.choice([(tree, ["parts", "sources"]), (source, ["split", "images"])])
        key = rng.choice(keys)
        del where[key]
        return _block(tree), (NAME,), f"without {key}"
    if level == "names":
        what, value = rng.choice(_NAMES)
        key, _, _ = what.partition(":")
        tree[key] = value(tree)
        return _block(tree), (NAME,), what
    if level == "top":
        key = rng.choice([*tree, "part", "Sources", "siez", "split", "classes", "", "x" * 1000, "size "])
        tree[key] = _junk_for(key, rng)
        return _yaml(tree), (NAME,), f"{key:.20}: {tree[key]!r:.40}"
    if level == "source":
        key = rng.choice([*source, "image", "labels", "Coco", "count", "seed", "synthetic", "limit", "only", "use"])
        source[key] = _junk_for(key, rng)
        return _yaml(tree), (NAME,), f"source {key}: {source[key]!r:.40}"
    key = rng.choice(["to", "margin", "margins", "pad"])
    tree["crop"][key] = rng.choice([-1, "much", [], {}, float("nan"), float("inf"), 1e9, True if key == "to" else "no"])
    return _yaml(tree), (NAME,), f"crop {key}: {tree['crop'][key]!r}"


def _yaml(tree: Tree) -> bytes:
    return yaml.safe_dump(tree, sort_keys=False).encode("utf-8", "surrogatepass")


def _shown(value: str) -> tuple[str, ...]:
    return tuple(word for word in (value.strip("/.")[:20], value.strip("~/")) if word and word.isprintable())


def _junk_for(key: str, rng: Random) -> Any:
    """A value that no key takes, or not this one."""
    junk: list[Any] = [{"a": 1}, [[1]], [None], [{"a": [1]}], float("nan"), -5]
    if key == "size":
        junk += [0, -32, 33, 10**9, 10**40, "big", [32], True, 32.5, 8, "0x20s"]
    if key in ("parts", "keypoints"):
        junk += [7, "head", ["a", "a"], ["a", 1], ["a", None], ["a", ["b"]], ["x"] * 300, ["a", ""], {"a": 1}]
        junk += [[] if key == "parts" else ["no such keypoint"]]
    if key == "split":
        junk += ["training", "", 1, ["train"], True, "TRAIN ", None]
    if key in ("mirror", "keypoint_mirror"):
        junk += [["left", "right"], [["left_wing"]], [["left_wing", "nose"]], [["left_wing"] * 2], "pairs", 3]
    if key == "sources":
        junk += [[], None, "few", [None], [[]], {"split": "train"}, ["few"]]
    return rng.choice(junk)


def _many(count: int) -> Callable[[Tree], list[str]]:
    return lambda tree: [f"name {i}" for i in range(count)]


_NAMES: list[tuple[str, Callable[[Tree], Any]]] = [
    ("parts: 255", _many(255)),
    ("parts: 100,000", _many(100_000)),
    ("keypoints: 100,000", _many(100_000)),
    ("mirror: 100,000", lambda tree: [["a", "b"]] * 100_000),
    ("sources: 20,000 empty", lambda tree: [{}] * 20_000),
    ("parts: twins", lambda tree: [*tree["parts"], tree["parts"][0]]),
    ("keypoint_parts: unknown part", lambda tree: {tree["keypoints"][0]: "nose"}),
    ("keypoint_parts: unknown keypoint", lambda tree: {"nose": tree["parts"][0]}),
    ("keypoints: one unknown", lambda tree: [*tree["keypoints"][:-1], "nose"]),
    ("mirror: unknown", lambda tree: [["left_wing", "right_wnig"]]),
    ("parts: another order of types", lambda tree: [1, 2.5, True]),
    ("overlapping: maybe", lambda tree: "maybe"),
]


def _bomb(tree: Tree, rng: Random) -> tuple[bytes, str, str]:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, rng.choice([4, 7, 12, 30]))]
    return "\n".join([*lines, _block(tree).decode()]).encode(), TOLD, f"an alias bomb of {len(lines)} levels"


def _itself(tree: Tree, rng: Random) -> tuple[bytes, str, str]:
    text = _block(tree).decode()
    return (text + rng.choice(["more: &m [*m]\n", "more: &m {a: *m}\n", "<<: &m {<<: *m}\n"])).encode(), TOLD, "itself"


def _nested(tree: Tree, rng: Random) -> tuple[bytes, str, str]:
    depth, (open_, close) = rng.choice([100, 1000, 20_000, 100_000]), rng.choice(["[]", ("{a: ", "}"), ("- ", "")])
    return (f"deep: {open_ * depth}{close * depth}\n").encode() + _block(tree), TOLD, f"{depth} levels of {open_}"


def _code(tree: Tree, rng: Random) -> tuple[bytes, str, str]:
    tag = rng.choice(
        [
            '!!python/object/apply:os.system ["touch data/hacked"]',
            *("!!python/name:os.system", "!!binary x", "!own 1", "!!set {a, b}", "!!timestamp never", "!!omap [1]"),
            *("!!int x", "!!float ''", "!!bool 7", "!!null x", "!!map []"),
        ]
    )
    return _block(tree) + f"parts_of: {tag}\n".encode(), TOLD, tag


def _text(tree: Tree, rng: Random) -> tuple[bytes, str, str]:
    block = _block(tree)
    what, content = rng.choice(
        [
            ("empty", b""),
            ("blank", b"\n\n"),
            ("a comment", b"# nothing\n"),
            ("a list", b"- a\n- b\n"),
            ("a text", b"birds"),
            ("a number", b"7"),
            ("two documents", block + b"---\n" + block),
            ("tabs", block.replace(b"\n  ", b"\n\t")),
            ("latin-1", "# Größe\n".encode("latin-1") + block),
            ("a NUL", block + b"\0"),
            ("an escape", block + b"# \x1b[31m\n"),
            ("a key twice", block + block.split(b"\n")[0] + b" []\n"),
            ("half", block[: len(block) // 2].rstrip() + b"\n  x: ["),
            ("no space", block.replace(b": ", b":")),
            ("JSON with a comma too many", json.dumps(tree).replace("]", ",,]").encode()),
            ("an image", b"\x89PNG\r\n\x1a\n" + rng.randbytes(200)),
            ("30 million spaces", b" " * 30_000_000),
            ("merge of a text", block + b"<<: text\n"),
            ("a complex key", b"? [a, b]\n: 1\n" + block),
            ("an anchor that is not there", block + b"more: *nothing\n"),
            ("lone surrogates", block + "x: \ud800\n".encode("utf-8", "surrogatepass")),
        ]
    )
    return content, TOLD, what


def _numbers_as_text(tree: Tree, rng: Random) -> tuple[bytes, str, str]:
    tree = copy.deepcopy(tree)
    side = world.SIDE
    value = rng.choice(
        [str(side), f" {side}", f"{side}.0", float(side), hex(side), f"{side}px", "3.2e1", f"{side:,}.0"]
    )
    tree["size"] = value
    return _block(tree), SAME_OR_TOLD, f"size: {value!r}"


_TEXTS = [_bomb, _itself, _nested, _code, _text, _text, _text, _numbers_as_text]
