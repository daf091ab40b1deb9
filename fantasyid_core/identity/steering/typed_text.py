"""A reader of short strings that users type. Its errors point at the mistake with a caret."""

from __future__ import annotations

import math
import re
from typing import NoReturn

_BLANKS = re.compile(r"[^\S\n]*")
# The dot of a range 0.2..1.0 belongs to the range, not to the number.
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.(?!\.)\d*)?|\.\d+)(?:[eE][+-]?\d+)?|[+-]?(?:nan|inf(?:inity)?)\b", re.IGNORECASE)
_SEPARATOR = re.compile(r"\s*(?:[,;\n]\s*|$)")
_NAME = re.compile(r"[^\W\d](?:[\w-]|[^\S\n]+(?=\w))*")
_SHOWN = 36  # characters left and right of a mistake


class Scanner:
    """A position in `text` that moves from entry to entry; `what` is the text's name in errors.

    Entries are separated by commas, semicolons or new lines.
    """

    def __init__(self, text: str, what: str):
        if not isinstance(text, str):
            raise ValueError(f"{what}: expected a text, got {type(text).__name__}.")
        self.text, self.what = text, what
        self.position = len(text) - len(text.lstrip())

    @property
    def at_end(self) -> bool:
        return self.position >= len(self.text)

    def take(self, pattern: str | re.Pattern) -> str | None:
        """What `pattern` matches here (blanks around it are skipped), or None."""
        match = re.compile(pattern).match(self.text, self.position)
        if not match:
            return None
        blanks = _BLANKS.match(self.text, match.end())
        self.position = blanks.end() if blanks else match.end()
        return match[0]

    def name(self) -> str | None:
        """A name of letters, digits, blanks and dashes, in lower case with single blanks, or None."""
        found = self.take(_NAME)
        return None if found is None else " ".join(re.split(r"[\s_-]+", found.strip().lower()))

    def number(self, what: str) -> float:
        """A finite number here; ValueError that expects `what`."""
        start = self.position
        found = self.take(_NUMBER)
        if found is None:
            self.fail(what)
        if not math.isfinite(float(found)):
            self.fail(f"{what} that is finite", start)
        return float(found)

    def end_entry(self) -> None:
        """Moves to the next entry; ValueError when something else follows."""
        if self.take(_SEPARATOR) is None:
            self.fail("a comma or the end")

    def fail(self, expected: str, at: int | None = None) -> NoReturn:
        """Raises ValueError: what was expected `at` a position (here), what is there, and a caret below it."""
        at = self.position if at is None else at
        line_start = self.text.rfind("\n", 0, at) + 1
        line = re.sub(r"\s", " ", self.text[line_start:].split("\n")[0])
        found = re.match(r"[\w.+-]+|\S|\s*$", self.text[at:].split("\n")[0].lstrip()) if at < len(self.text) else None
        shown, column = _around(line, at - line_start)
        raise ValueError(
            f"{self.what}: expected {expected}, got {repr(found[0]) if found and found[0] else 'the end'} "
            f"at character {at + 1}.\n  {shown}\n  {' ' * column}^"
        )


def _around(line: str, column: int) -> tuple[str, int]:
    """The part of a long line around `column`, and the column in it."""
    start, end = max(0, column - _SHOWN), min(len(line), column + _SHOWN)
    before, after = "..." if start else "", "..." if end < len(line) else ""
    return before + line[start:end] + after, len(before) + column - start


def number_text(value: float) -> str:
    """The shortest text that reads back as `value`, without `.0`."""
    return repr(float(value) + 0.0).removesuffix(".0")
