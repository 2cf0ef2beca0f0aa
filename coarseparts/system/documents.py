"""JSON, YAML, XML and tables that strangers wrote: read as they mean it, or refused in a line; no crash, no bomb."""

from __future__ import annotations

import csv
import gc
import json
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import yaml

from coarseparts.system.text import short

MOST_VALUES = 1_000_000
"""A YAML file that stands for more values than this, aliases written out, is refused: a kilobyte can stand for 10^9."""

MOST_YAML = 20_000_000
"""Bytes of a YAML file; one of 100,000 names has two million."""

DEEPEST = 64
"""Levels that a YAML or XML file may have; YAML's parser in C would crash on some ten thousands of them."""

MOST_XML = 500_000_000
"""Bytes of an XML file; one of 10,000 masks has 50 million."""

MOST_DIGITS = 40
"""A number of more digits is no number of pixels, images or epochs, whatever it counts."""

SEPARATORS = (",", ";", "\t")
"""Of a table's cells; the second one where people write decimal commas."""

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")

_DIGITS = bytes(ord("0" if chr(byte) in "0123456789" else " ") for byte in range(256))


class DocumentError(ValueError):
    """A file is no document of its kind; the text says what it is instead, without naming the file."""


def encoding_of(path: Path) -> str:
    """How a text file is encoded: in UTF-16 where it begins with its byte-order mark, as Excel's "Unicode text" and
    redirections in PowerShell do, else in UTF-8, with or without one. Raises OSError."""
    with path.open("rb") as file:
        return "utf-16" if file.read(2) in _UTF_16 else "utf-8-sig"


def separator_of(heading: str, columns: Collection[str] = ()) -> str:
    """What parts a table's cells, by its first line: of ``SEPARATORS`` outside quotes the one by which most of
    ``columns`` are found, of several the first; a comma where there is none."""
    bare = re.sub(r'"[^"]*"', "", heading)
    there = [mark for mark in dict.fromkeys(bare) if mark in SEPARATORS] or [SEPARATORS[0]]

    def known(separator: str) -> int:
        return len({*columns} & {*next(csv.reader([heading], delimiter=separator, skipinitialspace=True), [])})

    return max(there, key=known) if columns else there[0]


def in_utf_8(begin: bytes) -> bytes:
    """The beginning of a text in UTF-8 without a byte-order mark, whichever Unicode it is in."""
    encoding = json.detect_encoding(begin)
    if encoding.startswith("utf-8"):
        return begin.removeprefix(b"\xef\xbb\xbf")
    return begin.decode(encoding, "ignore").removeprefix("\ufeff").encode("utf-8", "ignore")


def load_json(path: Path, raw: bytes | None = None) -> Any:
    """What a JSON file says, in UTF-8, UTF-16 or UTF-32, with or without a byte-order mark; ``raw``: its bytes, where
    they have been read.

    Raises DocumentError for what is no JSON, for a key that stands twice in one object (JSON's readers disagree about
    what that means), for nesting beyond Python's reach; OSError where the file cannot be read.
    """
    raw = path.read_bytes() if raw is None else raw
    try:
        text = raw.decode(json.detect_encoding(raw)).removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise DocumentError("is not text in UTF-8 or UTF-16, expected JSON") from None
    # Most files have no such number, and asking for each of millions would take as long as reading them.
    long = b"0" * (MOST_DIGITS + 1) in text.encode().translate(_DIGITS)
    try:
        with no_garbage():
            return json.loads(text, object_pairs_hook=_without_twins, parse_int=_whole if long else None)
    except RecursionError:
        raise DocumentError(
            f"is not valid JSON as tools write it: it is nested too deeply{_where_deep(text)}"
        ) from None
    except DocumentError:
        raise
    except ValueError as error:
        raise DocumentError(f"is not valid JSON: {error}") from None


def _where_deep(text: str) -> str:
    """ " at line 3, column 17", where the nesting of a JSON text passes ``DEEPEST``."""
    depth = 0
    for found in re.finditer(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', text):
        depth += (found[0] in "[{") - (found[0] in "]}")
        if depth > DEEPEST:
            line, before = text.count("\n", 0, found.start()) + 1, text.rfind("\n", 0, found.start())
            return f" at line {line}, column {found.start() - before}"
    return ""


@contextmanager
def no_garbage() -> Iterator[None]:
    """While a document is read nothing of it is garbage: looking for some takes most of the time of a large one."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twin = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        first = f" (in the object that begins with {short(pairs[0][0])}: {short(pairs[0][1])})"
        raise DocumentError(f"is not valid JSON: the key {short(twin)} stands twice{first}")
    return found


def _whole(digits: str) -> int | float:
    """Python refuses to print an integer of thousands of digits, and nothing here means one."""
    return int(digits) if len(digits) <= MOST_DIGITS else float(digits)


_TOO_MANY = f"stands for more than {MOST_VALUES:,} values"


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML, but a key that stands twice is an error (plain YAML silently takes the last one), and what is too deep or
    too much is refused as soon as it is met."""

    _depth = _count = 0

    def descend_resolver(self, parent: yaml.Node | None, index: Any) -> None:
        """Called where a node begins; ``ascend_resolver`` where it ends."""
        self._depth += 1
        self._count += 1
        if self._depth > DEEPEST:
            raise DocumentError("is nested too deeply")
        if self._count > MOST_VALUES:
            raise DocumentError(_TOO_MANY)

    def ascend_resolver(self) -> None:
        self._depth -= 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen: set[str] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key is no plain text", problem_mark=key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"key {key.value!r} stands twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.add_constructor("tag:yaml.org,2002:set", _Loader.construct_undefined)  # a set would forget the order of names


def load_yaml(path: Path) -> Any:
    """What a YAML file says, in UTF-8 or, with a byte-order mark, UTF-16. Nothing in it can run code.

    Raises DocumentError naming line and column for what is no YAML or a key that stands twice, for a file that is too
    large, nested too deeply or stands for more than ``MOST_VALUES`` values; OSError where it cannot be read.
    """
    if (size := path.stat().st_size) > MOST_YAML:
        raise DocumentError(f"has {size:,} bytes, expected at most {MOST_YAML:,}")
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-16" if raw[:2] in _UTF_16 else "utf-8-sig")
    except UnicodeDecodeError:
        raise DocumentError("is not text in UTF-8") from None
    return parse_yaml(text)


def parse_yaml(text: str) -> Any:
    """What a text in YAML says. Raises DocumentError as ``load_yaml`` does."""
    try:
        with no_garbage():
            return _parsed(text)
    except DocumentError:
        raise
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError) as error:  # `!!int ""` and such
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        said = getattr(error, "problem", None) or " ".join(str(error).split())
        if not isinstance(error, yaml.YAMLError):  # PyYAML passes on what Python says of `!!float ""`
            said = "a value that does not fit its type"
        if "nesting depth" in said:  # newer parsers in C have a limit of their own
            raise DocumentError("is nested too deeply") from None
        raise DocumentError(f"is not valid YAML: {where}{said}") from None


def _parsed(text: str) -> Any:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if "*" in text and _values(node, {}) > MOST_VALUES:  # without it there is no alias
            raise DocumentError(_TOO_MANY)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _values(node: yaml.Node, known: dict[yaml.Node, int]) -> int:
    """How many values a node stands for with its aliases written out; without end where it holds itself."""
    if node not in known:
        known[node] = MOST_VALUES + 1  # while it is being counted: met again inside itself
        below = node.value if isinstance(node, yaml.SequenceNode) else []
        if isinstance(node, yaml.MappingNode):
            below = [each for pair in node.value for each in pair]
        known[node] = 1 + sum(_values(each, known) for each in below)
    return known[node]


def load_xml(path: Path) -> Element:
    """The root of an XML file. Entities, with which a kilobyte can stand for 10^9 characters or for another file, are
    refused with whatever else a document type declares.

    Raises DocumentError for what is no XML, is too large, nested too deeply or declares a document type; OSError where
    the file cannot be read.
    """
    if (size := path.stat().st_size) > MOST_XML:
        raise DocumentError(f"has {size:,} bytes, expected at most {MOST_XML:,}")
    builder, depth = TreeBuilder(), 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEEPEST:
            raise DocumentError("is nested too deeply")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def refuse(*_: object) -> None:
        raise DocumentError("declares a document type or entities, which are not read")

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    try:
        with open(path, "rb") as file, no_garbage():
            parser.ParseFile(file)
        return builder.close()
    except expat.ExpatError as error:
        raise DocumentError(f"is not valid XML: {error}") from None
    except (ValueError, LookupError) as error:  # an encoding that there is not
        if isinstance(error, DocumentError):
            raise
        raise DocumentError(f"is not valid XML: {' '.join(str(error).split())}") from None


class _Spelt(yaml.SafeDumper):
    """Writes what stands in several places in each of them, not a reference to the first, which people would not
    read."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def dump_yaml(value: Any) -> str:
    """A value, which does not hold itself, as YAML: letters of all scripts as they are, characters that show nothing or
    do something as escapes."""
    text: str = yaml.dump(value, Dumper=_Spelt, sort_keys=False, allow_unicode=True)
    if text.replace("\n", "").isprintable():
        return text
    escaped: str = yaml.dump(value, Dumper=_Spelt, sort_keys=False, allow_unicode=False)
    return escaped
