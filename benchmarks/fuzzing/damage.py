"""Ways to damage bytes and trees of JSON, from a random generator."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

RAW = "\u2063raw:"
"""Marks a text in a tree that ``dumped`` writes as it stands: what no JSON writer would make, such as 1e999."""

Path = tuple[Any, ...]


def raw(text: str) -> str:
    """JSON source in place of a value."""
    return RAW + text


def dumped(tree: Any, **options: Any) -> str:
    """The tree as JSON, with ``raw`` parts as they stand."""
    text = json.dumps(tree, **options)
    for piece in {value for _, value in leaves(tree) if isinstance(value, str) and value.startswith(RAW)}:
        text = text.replace(json.dumps(piece), piece.removeprefix(RAW))
    return text


EDGES = {
    "1e999": raw("1e999"),
    "-1e999": raw("-1e999"),
    "10**40": 10**40,
    "10**5000": raw("1" + "0" * 5000),
    "NaN": float("nan"),
    "Infinity": float("inf"),
    "-Infinity": float("-inf"),
    "surrogate": raw('"a\\ud800b"'),
    "NUL": "a\0b",
    "number as text": "12",
    "spaced number as text": " 12 ",
    "empty text": "",
    "blank text": "  ",
    "long text": "x" * 100_000,
    "terminal": "\x1b[31mred\x1b[0m\u202egpj",
    "empty list": [],
    "empty object": {},
    "nested empty lists": [[[]]],
    "60 levels": raw("[" * 60 + "]" * 60),
    "1,000 levels": raw("[" * 1000 + "]" * 1000),
    "100,000 levels": raw("[" * 100_000 + "]" * 100_000),
    "1,000 levels of objects": raw('{"a":' * 1000 + "1" + "}" * 1000),
    "true": True,
    "false": False,
    "null": None,
    "-0": -0.0,
    "0": 0,
    "-1": -1,
    "0.5": 0.5,
    "1e-300": 1e-300,
    "2**31": 2**31,
    "2**63": 2**63,
    "2**64": 2**64,
    "1e15": 1e15,
    "twins": raw('{"a":1,"a":2}'),
    "list of numbers": [1, 2, 3],
    "list of texts": ["a", "b"],
    "list of null": [None],
    "object": {"id": 1},
}
"""What may stand where another value was expected."""

NO_NUMBER = [
    *("1e999", "-1e999", "10**5000", "NaN", "Infinity", "-Infinity", "surrogate", "NUL", "empty list", "empty object"),
    *("nested empty lists", "60 levels", "1,000 levels", "100,000 levels", "1,000 levels of objects", "twins"),
    *("list of numbers", "list of texts", "list of null", "object", "10**40", "1e15", "2**63", "2**64", "terminal"),
    *("empty text", "blank text", "long text"),
]
"""Edges that are no coordinate, however they are read."""


def leaves(tree: Any, at: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every place that holds no list and no object, and every empty one."""
    below = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    found = False
    for key, value in below:
        found = True
        yield from leaves(value, (*at, key))
    if not found:
        yield at, tree


def places(tree: Any, at: Path = ()) -> Iterator[Path]:
    """Every place but the root."""
    below = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in below:
        yield (*at, key)
        yield from places(value, (*at, key))


def get(tree: Any, at: Path) -> Any:
    """What stands at a place."""
    for key in at:
        tree = tree[key]
    return tree


def put(tree: Any, at: Path, value: Any) -> None:
    """Puts a value at a place."""
    get(tree, at[:-1])[at[-1]] = value


def somewhere(tree: Any, rng: Random) -> Path:
    """A place by a walk from the root, so that few large lists do not take all."""
    at: Path = ()
    while True:
        here = get(tree, at)
        if not isinstance(here, dict | list) or not here or (at and rng.random() < 0.2):
            return at
        at = (*at, rng.choice(list(here)) if isinstance(here, dict) else rng.randrange(len(here)))


def structural(tree: Any, rng: Random) -> str:
    """Damages a tree of JSON in place at one random spot; says how."""
    name = rng.choice(list(_STRUCTURAL))
    for _ in range(20):
        at = somewhere(tree, rng)
        if (said := _STRUCTURAL[name](tree, at, rng)) is not None:
            return f"{name} at {'/'.join(map(str, at))}{said}"
    return "nothing"


def _drop(tree: Any, at: Path, rng: Random) -> str:
    del get(tree, at[:-1])[at[-1]]
    return ""


def _duplicate(tree: Any, at: Path, rng: Random) -> str | None:
    around = get(tree, at[:-1])
    if not isinstance(around, list):
        return None
    around.insert(rng.randrange(len(around) + 1), copy.deepcopy(around[at[-1]]))
    return ""


def _edge(tree: Any, at: Path, rng: Random) -> str:
    name = rng.choice(list(EDGES))
    put(tree, at, copy.deepcopy(EDGES[name]))
    return f": {name}"


def _retype(tree: Any, at: Path, rng: Random) -> str:
    value = get(tree, at)
    ways = [lambda v: [v], lambda v: {"value": v}, lambda v: None]
    if isinstance(value, int | float) and not isinstance(value, bool):
        ways += [str, lambda v: -v, float, lambda v: f" {v}", lambda v: v + 1, lambda v: v * 1000, bool]
    if isinstance(value, str):
        ways += [str.upper, lambda v: f"{v} ", lambda v: v[:-1], lambda v: v + v, lambda v: v.encode().hex(), len]
    if isinstance(value, list):
        ways += [lambda v: {str(i): each for i, each in enumerate(v)}, lambda v: v[::-1], lambda v: v[:1], str, tuple]
    if isinstance(value, dict):
        ways += [lambda v: list(v.items()), lambda v: list(v.values()), str]
    put(tree, at, rng.choice(ways)(value))
    return f": {type(value).__name__} to {type(get(tree, at)).__name__}"


def _swap(tree: Any, at: Path, rng: Random) -> str | None:
    other = somewhere(tree, rng)
    if other[: len(at)] == at or at[: len(other)] == other:
        return None
    one, two = get(tree, at), get(tree, other)
    put(tree, at, two)
    put(tree, other, one)
    return f" with {'/'.join(map(str, other))}"


def _move(tree: Any, at: Path, rng: Random) -> str | None:
    value = copy.deepcopy(get(tree, at))
    other = somewhere(tree, rng)
    if other[: len(at)] == at:
        return None
    put(tree, other, value)
    return f" copied to {'/'.join(map(str, other))}"


def _rename(tree: Any, at: Path, rng: Random) -> str | None:
    around = get(tree, at[:-1])
    if not isinstance(around, dict):
        return None
    key = at[-1]
    new = rng.choice([key.upper(), key + "s", key[:-1], f" {key}", "", "id", key.replace("_", "")])
    pairs = [(new if k == key else k, v) for k, v in around.items()]
    around.clear()
    around.update(pairs)
    return f" to {new!r}"


def _double(tree: Any, at: Path, rng: Random) -> str | None:
    around = get(tree, at[:-1])
    if not isinstance(around, dict) or len(at) < 2:
        return None
    text = dumped(around)
    value = rng.choice([around[at[-1]], None, 1, EDGES[rng.choice(list(EDGES))]])
    put(tree, at[:-1], raw(f"{text[:-1]}, {json.dumps(at[-1])}: {dumped(value)}}}"))
    return " a second time"


_STRUCTURAL: dict[str, Callable[[Any, Path, Random], str | None]] = {
    "drop": _drop,
    "duplicate": _duplicate,
    "edge": _edge,
    "edge ": _edge,
    "retype": _retype,
    "retype ": _retype,
    "swap": _swap,
    "move": _move,
    "rename": _rename,
    "double": _double,
}


def bytewise(content: bytes, rng: Random) -> tuple[bytes, str]:
    """The content after flips, a cut, an insertion, or swapped, doubled, zeroed blocks; says how."""
    size = len(content)
    at, length = rng.randrange(size), rng.choice([1, 2, 8, 64, 512])
    way = rng.choice(["flip", "flip", "flips", "cut", "drop", "insert", "text", "swap", "double", "zero", "mask"])
    if way == "flip":
        return content[:at] + bytes([content[at] ^ (1 << rng.randrange(8))]) + content[at + 1 :], f"flip at {at}"
    if way == "flips":
        damaged = bytearray(content)
        for _ in range(rng.choice([2, 10, 100])):
            damaged[rng.randrange(size)] = rng.randrange(256)
        return bytes(damaged), "random bytes"
    if way == "cut":
        return content[:at], f"cut at {at}"
    if way == "drop":
        return content[:at] + content[at + length :], f"{length} bytes less at {at}"
    if way == "insert":
        return content[:at] + rng.randbytes(length) + content[at:], f"{length} bytes more at {at}"
    if way == "text":
        piece = rng.choice([b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"-", b"9", b"e9", b"\0", b"null", b"\n"])
        return content[:at] + piece + content[at:], f"{piece!r} at {at}"
    if way == "swap":
        other = rng.randrange(size)
        one, two = sorted((at, other))
        length = min(length, two - one, size - two)
        middle = content[one + length : two]
        return (
            content[:one]
            + content[two : two + length]
            + middle
            + content[one : one + length]
            + content[two + length :],
            f"{length} bytes at {one} and {two} swapped",
        )
    if way == "double":
        return content[: at + length] + content[at:], f"{length} bytes at {at} doubled"
    fill = b"\0" if way == "zero" else b"\xff"
    return content[:at] + fill * len(content[at : at + length]) + content[
        at + length :
    ], f"{length} of {fill!r} at {at}"
