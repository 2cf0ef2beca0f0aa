"""Pages of reference, made from the code when the site is built: verbs, settings, the dataset file, the library."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

import typer

import coarseparts
from coarseparts.cli.help import HEADINGS
from coarseparts.cli.main import VERBS, app
from coarseparts.data.json_schema import dataset_schema
from coarseparts.training.settings import describe

WRITTEN = "Written by the build from the code; what is changed here is lost."


def version() -> str:
    """The version that is documented."""
    return version_of("coarseparts")


def write_into(folder: Path) -> None:
    """Writes every page into ``folder``, which holds nothing else; a page that says the same stays untouched, so that
    the next build does not read it again."""
    folder.mkdir(exist_ok=True)
    for name, lines in (
        ("verbs", verbs()),
        ("settings", settings()),
        ("dataset_file", dataset_file()),
        ("library", library()),
    ):
        text = f"<!-- {WRITTEN} -->\n\n" + "\n".join(lines) + "\n"
        page = folder / f"{name}.md"
        if not page.is_file() or page.read_text() != text:
            page.write_text(text)


def verbs() -> Iterator[str]:
    """Every verb: what it does, its options under their headings, its examples."""
    yield "# Every verb"
    yield "\nThe same texts as `coarseparts VERB --help`. What verbs have in common: {doc}`../command_line`."
    top: Any = typer.main.get_command(app)
    root = typer.Context(top, info_name="coarseparts")
    for name in VERBS:
        _, command, _ = top.resolve_command(root, [name])
        context = typer.Context(command, info_name=name, parent=root)
        yield from _verb(context, 2)
        for sub, inside in getattr(command, "commands", {}).items():
            yield from _verb(typer.Context(inside, info_name=sub, parent=context), 3)


def _verb(context: typer.Context, level: int) -> Iterator[str]:
    command: Any = context.command
    yield f"\n{'#' * level} {context.command_path.removeprefix('coarseparts ')}\n"
    yield from (_escaped(line.strip()) for line in (command.help or "").split("\n"))
    yield f"\n```\n{context.command_path} {' '.join(command.collect_usage_pieces(context))}\n```\n"
    told: dict[str, list[tuple[str, str]]] = {heading: [] for heading in HEADINGS}
    for param in command.get_params(context):
        if record := param.get_help_record(context):
            heading = "Arguments" if param.param_type_name == "argument" else param.rich_help_panel or "Other"
            told[heading].append(record)
    for heading in filter(told.get, told):
        yield f"\n**{heading}**\n"
        for names, text in told[heading]:
            yield f"`{names}`\n: {_escaped(' '.join(text.split())) or '(no text)'}\n"
    if command.epilog:
        yield f"\n**Examples**\n\n```\n{command.epilog}\n```\n"


def settings() -> Iterator[str]:
    """Every setting with its default."""
    yield "# Settings"
    yield "\nFor `--set KEY=VALUE` of `train`, `compare`, `benchmark`, `sweep`, and keywords of `coarseparts.train`;"
    yield "`coarseparts settings` prints them. What a run was trained with stands in its `config.yaml`.\n"
    group = ""
    for key, default, text in describe():
        if (of := key.rpartition(".")[0]) != group:
            group = of
            yield f"\n## {group}\n"
        yield f"`{key}` = `{default or chr(39) * 2}`\n: {_escaped(text)}\n"


def dataset_file() -> Iterator[str]:
    """Every key of the dataset file."""
    schema = dataset_schema()
    yield "# The dataset file"
    yield f"\n{schema['description']} How it is read: {{doc}}`../data`."
    yield "\n`coarseparts schema` prints these keys as a JSON schema, by which editors complete them and mark mistakes:"
    yield "\n```\ncoarseparts schema > dataset.schema.json\n```\n"
    yield "With the YAML language server, which many editors use, its first line is then"
    yield "`# yaml-language-server: $schema=dataset.schema.json`.\n"
    for title, of in (("Keys", schema), *((name, schema["$defs"][name]) for name in ("Crop", "Source"))):
        yield f"\n## {dict(Crop='Keys of `crop`', Source='Keys of a source').get(title, title)}\n"
        for key, value in of["properties"].items():
            must = "; must be there" if key in of.get("required", ()) else ""
            yield f"`{key}`\n: {_escaped(value['description'])}. *{_escaped(_kind(value))}{must}*\n"


def _kind(value: dict[str, Any]) -> str:
    """What may stand there, in words."""
    if "anyOf" in value:
        return " or ".join(_kind(each) for each in value["anyOf"] if each != {"type": "null"})
    if "enum" in value:
        return " or ".join(map(str, value["enum"]))
    if "$ref" in value:
        return "keys of their own, below"
    kind = value["type"][0] if isinstance(value["type"], list) else value["type"]
    limits = [f"{word} {value[key]}" for key, word in (("minimum", "from"), ("maximum", "to")) if key in value]
    names = {"array": "list", "object": "names with values", "string": "text", "boolean": "true or false"}
    of = f" of {_kind(value['items'])}" if "items" in value else ""
    return " ".join([names.get(kind, kind) + of, *limits])


def library() -> Iterator[str]:
    """Every public name, by autodoc."""
    yield "# Every name of the library"
    yield "\nExamples that belong together: {doc}`../library`.\n\n```{eval-rst}"
    for name in coarseparts.__all__:
        if name == "__version__":
            continue
        value = getattr(coarseparts, name)
        if isinstance(value, type):
            yield f".. autoclass:: coarseparts.{name}\n   :members:\n   :inherited-members: Exception\n"
        else:
            yield f".. autofunction:: coarseparts.{name}\n"
    yield "```\n"


def _escaped(text: str) -> str:
    """As it stands, and no markup."""
    return "".join(f"\\{letter}" if letter in r"\`*_{}[]<>#|$" else letter for letter in text)
