"""What a notebook shows of a result: a picture and a legend, in one piece of HTML."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape

from coarseparts.system.text import abridged


def with_legend(png: bytes, legend: Mapping[str, Sequence[int]]) -> str:
    """A picture and, below it, the name of each colour (r, g, b). Names are escaped: they are data, not markup."""
    entries = "".join(
        f'<span style="white-space: nowrap; margin-right: 1em"><span style="background: rgb({red},{green},{blue})">'
        f"&emsp;</span> {escape(abridged(name))}</span> "
        for name, (red, green, blue) in legend.items()
    )
    return f'<img src="data:image/png;base64,{base64.b64encode(png).decode()}" alt="parts"><div>{entries}</div>'
