"""Reads a file with a row for each video, and turns each row into options of `generate`.

Columns (CSV, with a header) and keys (JSON lines) have the names of the options, so a row can set every option of a
video. The command line gives the options that a row leaves out.
"""

from __future__ import annotations

import argparse
import csv
import difflib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..files.rows import lines_of, table_of

OF_THE_COMMAND = frozenset({"jobs", "certificate", "key", "command", "run", "help"})
"""Options that are not of one video."""
OF_THE_PLACE = frozenset({"out", "device", "offload", "fit", "parallel", "compile"})
"""Options that make no other video."""
PATHS = frozenset(
    {"model", "image", "shape", "person", "like", "topology", "face_encoder", "models", "deca", "flame", "after"}
)
_SEVERAL = frozenset({"image", "models"})
_WHOLE = re.compile(r"[+-]?\d+\.0+")  # a whole number as tables write it


class RowParser(argparse.ArgumentParser):
    """An argument parser that raises ValueError for wrong options instead of ending the program."""

    def error(self, message: str):
        raise ValueError(message)


def read_rows(path: str | os.PathLike) -> list[tuple[int, dict[str, Any]]]:
    """(line number, row) of every row of a .csv or .jsonl file; empty lines are passed over.

    Raises FileNotFoundError, and ValueError naming the line that cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file of jobs at {path}. Check the path and the spelling.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8 ({error}). Save it as JSON lines or CSV in UTF-8.") from error
    rows = _csv_rows(path, text) if path.suffix.lower() == ".csv" else _json_rows(path, text)
    if not rows:
        raise ValueError(f"{path} has no rows: expected one per video, as JSON lines or as CSV with a header.")
    return rows


def _json_rows(path: Path, text: str) -> list[tuple[int, dict[str, Any]]]:
    rows = []
    for number, line in enumerate(lines_of(text), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(
                f'{path}, line {number}: expected an object as JSON, such as {{"prompt": "..."}}, got {_short(line)} '
                f"({error})."
            ) from error
        if not isinstance(row, dict):
            raise ValueError(
                f'{path}, line {number}: expected an object such as {{"prompt": "..."}}, got {_short(line)}.'
            )
        rows.append((number, row))
    return rows


def _csv_rows(path: Path, text: str) -> list[tuple[int, dict[str, Any]]]:
    reader, rows = table_of(text), []
    _check_header(path, reader.fieldnames or [])
    try:
        for row in reader:
            if row.pop(None, None):
                raise ValueError(
                    f"{path}, line {reader.line_num}: more cells than the header has. Put texts with commas in quotes."
                )
            rows.append((reader.line_num, {key: value for key, value in row.items() if value not in (None, "")}))
    except csv.Error as error:
        raise ValueError(f"{path}, line {reader.line_num}: not readable as CSV ({error}).") from error
    return rows


def _check_header(path: Path, names: Sequence[str]) -> None:
    names = [name.strip() for name in names]
    if twice := [name for name in dict.fromkeys(names) if name and names.count(name) > 1]:
        raise ValueError(f"{path}: the header names {', '.join(twice)} twice. Give every column a name of its own.")


def arguments_of_row(
    row: Mapping[str, Any], where: str, common: argparse.Namespace, add_arguments: Callable
) -> argparse.Namespace:
    """The options of a row over those that are `common` to all. Raises ValueError naming the place `where`."""
    parser = RowParser(add_help=False, allow_abbrev=False)
    add_arguments(parser)
    known = {action.dest: action for action in parser._actions if action.dest not in OF_THE_COMMAND}
    row = {key.strip().lstrip("-").replace("-", "_"): value for key, value in row.items()}
    for key in row:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise ValueError(
                f"{where}: there is no setting {key!r}.{hint} The settings are {', '.join(sorted(known))}."
            )
    parser.set_defaults(**{key: value for key, value in vars(common).items() if key not in row})
    try:
        words = [word for key, value in row.items() for word in _words(known[key], value)]
        return parser.parse_args(words)
    except ValueError as error:
        raise ValueError(f"{where}: {error}.") from error


def _words(action: argparse.Action, value: Any) -> list[str]:
    """The words that stand for `value` on a command line."""
    option = action.option_strings[-1]
    if value is None:
        return []
    if action.nargs == 0:
        return [option] if _is_true(option, value) else []
    if isinstance(value, Mapping):
        return [f"{option}={json.dumps(value)}"]
    values = value if isinstance(value, list) else [value]
    if action.dest in _SEVERAL:
        values = json.loads(value) if isinstance(value, str) and value.startswith("[") else values
        return (
            [option, *map(str, values)] if action.nargs else [word for each in values for word in (option, str(each))]
        )
    if action.type is int and _WHOLE.fullmatch(str(value).strip()):
        value = str(value).partition(".")[0]
    return [f"{option}={value}"]


def _is_true(option: str, value: Any) -> bool:
    word = str(value).lower()
    if word not in ("true", "false", "1", "0", "yes", "no"):
        raise ValueError(f"{option.lstrip('-')}: expected true or false, got {value!r}")
    return word in ("true", "1", "yes")


def options_to_keep(arguments: argparse.Namespace, add_arguments: Callable, folder: Path) -> dict[str, Any]:
    """The options that differ from the defaults, by which the video can be made again; paths seen from `folder`."""
    parser = RowParser(add_help=False)
    add_arguments(parser)
    kept = {}
    for action in parser._actions:
        value = getattr(arguments, action.dest, None)
        if action.dest in OF_THE_COMMAND | OF_THE_PLACE or value == action.default or value is None:
            continue
        kept[action.dest] = _each_path(value, lambda path: _seen_from(path, folder)) if action.dest in PATHS else value
    return kept


def kept_options(options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Options that `options_to_keep` made, with paths as they are seen from here."""
    here = lambda path: os.path.normpath(folder / path)  # noqa: E731
    return {key: _each_path(value, here) if key in PATHS else value for key, value in options.items()}


def _each_path(value, change: Callable[[str], str]):
    return [change(path) for path in value] if isinstance(value, list) else change(value)


def _seen_from(path: str, folder: Path) -> str:
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # another drive
        return str(Path(path).absolute())


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
