"""Ratios as users write them: ``head.width / thorax.length``, ``distance(head, tail) / object.length``.

Only numbers, a part's traits, ``distance(part, part)``, ``+ - * /`` and brackets; nothing is evaluated by Python.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from coarseparts.measurement.shapes import LENGTHS, PLACES, TRAITS
from coarseparts.system.problems import BadInput, Problem
from coarseparts.system.text import nearest, short

LONGEST, DEEPEST = 500, 30
"""Characters of a formula, and brackets within brackets, at most."""

_TOKEN = re.compile(r'\s*(?:(\d+\.?\d*|\.\d+)|"([^"]+)"|([^\W\d]\w*)|([-+*/().,]))')

Values = Mapping[str, float]
"""Numbers by name: ``part.trait`` and ``distance.part-part``."""

Compute = Callable[[Values], float]

Powers = tuple[int, int]
"""Of a length and of degrees, in which a value is measured; (0, 0) of numbers, ratios, counts and colours."""


@dataclass(frozen=True)
class Formula:
    """``text`` as it was written; ``of(values)`` is nan where a value is missing, or a divisor 0. ``dimension``: the
    power of a length that it is measured in, 0 of a ratio; ``degrees``: likewise that of an angle. ``signed``: whether
    it may be below 0; ``turns``: whether it is a direction, or the angle between two, the same after 180 degrees."""

    text: str
    of: Compute
    dimension: int
    degrees: int = 0
    signed: bool = False
    turns: bool = False


def parse(text: str, parts: tuple[str, ...], points: tuple[str, ...] = ()) -> Formula:
    """The formula of a text over these parts, and ``points`` within distances. Raises BadInput naming what cannot be
    read, an unknown part or trait."""
    if len(text) > LONGEST:
        raise _refused(text, f"has {len(text):,} characters, expected at most {LONGEST}")
    reader = _Reader(text, parts, points)
    signs = set(reader.tokens) & set("+-*/")
    of, powers = reader.sum()
    if reader.here:
        came = short(reader.here.removeprefix('"'))
        raise _refused(text, f"has {came} where an operator or the end was expected")
    return Formula(text.strip(), of, *powers, signed="-" in signs, turns=powers == (0, 1) and signs <= {"+", "-"})


def distance(first: str, second: str) -> str:
    """The name of the distance between two parts' centroids, or keypoints."""
    return f"distance.{first}-{second}"


def place(values: Values, name: str) -> tuple[float, float]:
    """Where a part's centroid or a keypoint is, (x, y); nan where it is not known."""
    x, y = ("x", "y") if f"{name}.x" in values else PLACES
    return values.get(f"{name}.{x}", math.nan), values.get(f"{name}.{y}", math.nan)


class _Reader:
    """Reads a formula from left to right; each method returns what computes its piece, and its powers."""

    def __init__(self, text: str, parts: tuple[str, ...], points: tuple[str, ...]):
        self.text, self.parts, self.places, self.depth = text, parts, (*parts, *points), 0
        self.tokens: list[str] = []
        at = 0
        while text[at:].strip():
            found = _TOKEN.match(text, at)
            if found is None:
                raise _refused(text, f"has {short(text[at:].strip()[:12])}, which is no part of a formula")
            number, quoted, name, sign = found.groups()
            self.tokens.append(f'"{quoted or name}' if quoted or name else number or sign)
            at = found.end()

    @property
    def here(self) -> str:
        return self.tokens[0] if self.tokens else ""

    def take(self, expected: str = "") -> str:
        if (expected and self.here != expected) or not self.tokens:
            came = short(self.here.removeprefix('"')) if self.here else "the end"
            raise _refused(self.text, f"has {came} where {expected or 'a number, a part or a bracket'} was expected")
        return self.tokens.pop(0)

    def sum(self) -> tuple[Compute, Powers]:
        left, powers = self.product()
        while self.here in ("+", "-"):
            sign = self.take()
            right, others = self.product()
            if {powers, others} == {(0, 0), (0, 1)}:  # as in 180 - head.orientation
                powers = others = (0, 1)
            if others != powers:
                raise _refused(self.text, "adds what is measured in different units")
            left = _both(left, right, sign)
        return left, powers

    def product(self) -> tuple[Compute, Powers]:
        left, powers = self.value()
        while self.here in ("*", "/"):
            sign = self.take()
            right, others = self.value()
            by = 1 if sign == "*" else -1
            powers = powers[0] + by * others[0], powers[1] + by * others[1]
            left = _both(left, right, sign)
        return left, powers

    def value(self) -> tuple[Compute, Powers]:
        token = self.take()
        if token == "(":
            self.depth += 1
            if self.depth > DEEPEST:
                raise _refused(self.text, f"has more than {DEEPEST} brackets within each other")
            inner = self.sum()
            self.take(")")
            self.depth -= 1
            return inner
        if token[0].isdigit() or (token[0] == "." and token != "."):
            number = float(token)
            return (lambda values: number), (0, 0)
        if not token.startswith('"'):
            raise _refused(self.text, f"has {short(token)} where a number, a part or a bracket was expected")
        name = token[1:]
        if name == "distance" and self.here == "(":
            return self.apart()
        part = self.known(name, self.parts)
        self.take(".")
        trait = self.known(self.take().removeprefix('"'), TRAITS)
        length = 2 if trait == "area" else int(trait in _LENGTHS)
        return _named(f"{part}.{trait}"), (length, int(trait == "orientation"))

    def apart(self) -> tuple[Compute, Powers]:
        self.take("(")
        first = self.known(self.take().removeprefix('"'), self.places)
        self.take(",")
        second = self.known(self.take().removeprefix('"'), self.places)
        self.take(")")

        def of(values: Values) -> float:
            return math.dist(place(values, first), place(values, second))

        return of, (1, 0)

    def known(self, name: str, names: tuple[str, ...]) -> str:
        if name not in names:
            raise _refused(self.text, f"names {short(name)}", nearest(name, names))
        return name


_LENGTHS = (*LENGTHS, *PLACES)


def _named(name: str) -> Compute:
    return lambda values: values[name]


def _both(left: Compute, right: Compute, sign: str) -> Compute:
    def of(values: Values) -> float:
        a, b = left(values), right(values)
        if sign == "/":
            return a / b if b else math.nan
        return a + b if sign == "+" else a - b if sign == "-" else a * b

    return of


def _refused(text: str, message: str, remedy: str = 'write e.g. head.width / "left wing".length') -> BadInput:
    return BadInput(Problem(f"--ratio {short(text, 60)}", message, remedy))
