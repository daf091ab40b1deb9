"""Lines and tables of text that anybody may have written."""

from __future__ import annotations

import csv
import io
import re

_END = re.compile(r"\r\n|\r|\n")


def lines_of(text: str) -> list[str]:
    """The lines of `text`, as text editors end them. `str.splitlines` ends them at further signs, such as U+2028,
    which come with pasted sentences and are allowed within the strings of JSON."""
    return _END.split(text)


def table_of(text: str, strict: bool = True) -> csv.DictReader:
    """The rows of a CSV table with a header, parted by commas, semicolons or tabs, whichever the header has most of:
    spreadsheets write what is usual in their country. A cell in quotes may hold line ends. strict: csv.Error for
    broken quotes."""
    parted_by = max(",;\t", key=lines_of(text)[0].count)
    return csv.DictReader(io.StringIO(text, newline=""), strict=strict, delimiter=parted_by)
