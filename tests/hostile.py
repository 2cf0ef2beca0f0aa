"""Names that a user may give and that would be more than text where nobody takes care."""

from __future__ import annotations

import unicodedata

LONG = "left_" + "wing" * 48 + "_tip"  # 201 characters

NAMES = (
    "\x1b[31mred",
    "a\u202eb",
    "=cmd|'/c calc'!A1",
    "<img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)" x="',
    "--><script>alert(1)</script>",
    "]]></style><b>",
    "[bold]x[/bold]",
    ":smile:",
    "$x^2$",
    "_hidden",
    "a|b",
    "line\nbreak",
    "\udcff",
    "\ud800x",
    "{{ 7*7 }}",
    "%s {0}",
    "NUL\x00",
    "\x9b2Jc1",
    "&lt;b&gt;",
    "#010203 url(#a) xlink:href",
    "-1+1;=2",
    "口",
    LONG,
)


def is_plain(text: str) -> bool:
    """Whether no character of a text commands a terminal or turns the direction of writing; line breaks are allowed."""
    return not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") and c != "\n" for c in text)
