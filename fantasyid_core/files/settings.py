"""The one reader of settings: YAML, or plain values, into frozen dataclasses whose field names are the keys.

Every value is checked when the dataclass is made, so that a misspelt key is found before a long training begins.
Libraries that do this (dacite, pydantic) do not name the nearest key, and refuse 1e-4, which YAML reads as a string.
"""

from __future__ import annotations

import difflib
import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from importlib import import_module
from pathlib import Path

from ..running.packages import MissingPackage, lacks


def read_settings(kind: type, path: str | Path, shipped: Path, changes: Sequence[str] = ()):
    """The settings `kind` in a YAML file, with `changes` such as "optimizer.lr=1e-4" on top.

    shipped: folder with the files that come along; `path` may be the name of one of them. Raises FileNotFoundError, and
    ValueError that names the key (with the nearest known one) or the value and what was expected.
    """
    path, yaml = _find(Path(path), shipped), _yaml()
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        example = min(shipped.glob("*.yaml")).name
        raise ValueError(f"{path} is not a YAML file ({error}). Correct it, or copy {example}.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected keys and values, got {type(content).__name__}.")
    for change in changes:
        _apply(content, change, yaml)
    try:
        return settings_from(kind, content)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error


def settings_from(kind: type, content: Mapping):
    """The settings `kind` with the values of `content`; errors as `read_settings`."""
    return _build(kind, content, "")


def one_of(name: str, value, known: tuple) -> None:
    """Raises ValueError unless `value` is one of `known`."""
    if value not in known:
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, known))}, got {value!r}.")


def at_least(name: str, value: float, least: float) -> None:
    """Raises ValueError for a number below `least`, NaN and infinity."""
    if not (math.isfinite(value) and value >= least):
        raise ValueError(f"{name}: expected at least {least}, got {value}.")


def above(name: str, value: float, least: float) -> None:
    """Raises ValueError for a number that is not above `least`, NaN and infinity."""
    if not (math.isfinite(value) and value > least):
        raise ValueError(f"{name}: expected a number above {least}, got {value}.")


def ratio(name: str, value: float) -> None:
    """Raises ValueError for a number outside 0..1."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name}: expected a number from 0 to 1, got {value}.")


def _find(path: Path, shipped: Path) -> Path:
    if path.is_file():
        return path
    named = shipped / f"{path.name.removesuffix('.yaml')}.yaml"
    if len(path.parts) == 1 and named.is_file():
        return named
    known = ", ".join(sorted(each.stem for each in shipped.glob("*.yaml")))
    raise FileNotFoundError(f"There is no config {path}. Give the path of a YAML file, or one of: {known}.")


def _yaml():
    try:
        return import_module("yaml")  # its package has another name, pyyaml
    except ImportError as error:
        raise MissingPackage(lacks("Reading a config", ["yaml"])) from error


def _apply(content: dict, change: str, yaml) -> None:
    key, equals, text = change.partition("=")
    if not equals or not key.strip():
        raise ValueError(f"Expected a change such as optimizer.lr=1e-4, got {change!r}.")
    *groups, last = key.strip().split(".")
    for group in groups:
        content = content.setdefault(group, {})
        if not isinstance(content, dict):
            raise ValueError(f"{key}: {group} is a value, not a group of keys.")
    content[last] = yaml.safe_load(text)


def _build(kind: type, content, place: str):
    if not isinstance(content, Mapping):
        raise ValueError(f"{place.rstrip('.') or 'the config'}: expected keys and values, got {content!r}.")
    hints = typing.get_type_hints(kind)
    known = [each.name for each in fields(kind)]
    values = {}
    for key, value in content.items():
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1, 0.4)
            hint = f"did you mean {place}{near[0]}?" if near else f"known are {', '.join(known)}."
            raise ValueError(f"{place}{key} is no setting; {hint}")
        values[key] = _convert(hints[key], value, f"{place}{key}")
    for each in fields(kind):  # a group that is not named still checks its defaults
        if each.name not in values and is_dataclass(hints[each.name]) and each.default_factory is not MISSING:
            values[each.name] = _build(hints[each.name], {}, f"{place}{each.name}.")
    return kind(**values)


def _convert(kind, value, name: str):
    if is_dataclass(kind):
        return _build(kind, value, f"{name}.")
    if isinstance(kind, types.UnionType):
        return None if value is None else _convert(typing.get_args(kind)[0], value, name)
    if kind is dict and isinstance(value, Mapping):
        return dict(value)
    if kind is float and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:  # YAML reads 1e-4 as a word
            return float(value)
        except ValueError:
            pass
    elif isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text", dict: "keys and values"}
    raise ValueError(f"{name}: expected {words[kind]}, got {value!r}.")
