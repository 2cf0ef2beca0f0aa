"""``coarseparts schema``."""

from __future__ import annotations

from coarseparts.cli import help
from coarseparts.cli.help import verb

app = help.app()


@verb(app, examples=("coarseparts schema",))
def schema() -> None:
    """The keys of the dataset file as a JSON schema, by which editors complete them and mark mistakes."""
    import json

    from coarseparts.data.json_schema import dataset_schema

    print(json.dumps(dataset_schema(), indent=2))
