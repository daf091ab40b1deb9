"""The state of the face editor as one JSON string that a person can read, write and share.

    {"version": 1,
     "values": {"face_width": 0.5, "ear_size": {"left": 0.3, "right": 0}},
     "sides": ["left", "right"],
     "pinned": ["face_width"],
     "plausible": false}

values: what is left out is 0; a number is for both sides of the face. sides: which of them the sliders move next
(left is the left of the picture). pinned: controls that random edits leave alone. plausible: keep to the shapes of
the user's FLAME model. Only "values" is needed. Before version 1 the state was the values alone, as in
{"face_width": 0.5}; that is still read. Unknown controls and entries are kept, and not applied.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from numbers import Real
from typing import Any

from .controltable import CONTROLS
from .places import SIDES

VERSION = 1
MAX_CHARACTERS = 1_000_000
_EXAMPLE = '{"version": 1, "values": {"face_width": 0.5}}'
_FLAME_COMPONENT, _FLAME_RANGE = "flame_", (-2.0, 2.0)
_DECIMALS = 6


@dataclass(frozen=True)
class Edit:
    """A state of the editor. values: name -> (left, right), within the controls' ranges. sides, pinned, plausible:
    see the module. notes: what was changed or ignored when it was read, as sentences. kept: unknown entries and
    values, which are written back.
    """

    values: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    sides: tuple[str, ...] = SIDES
    pinned: tuple[str, ...] = ()
    plausible: bool = False
    notes: tuple[str, ...] = ()
    kept: Mapping[str, Any] = field(default_factory=dict)


def parse_edit(text: str | None) -> Edit:
    """Reads the state; an empty text is the unedited face.

    Values out of range are clamped, NaN and what is no number count as 0, unknown controls are ignored: the notes
    name them. Raises ValueError for a text that is not such JSON, and for a newer version.
    """
    if text is None or not text.strip():
        return Edit()
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"Expected an edit of at most {MAX_CHARACTERS} characters, got {len(text)}.")
    try:
        state = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"The edit is not readable as JSON: {error}. Expected a text such as {_EXAMPLE}. Reset the editor, or load "
            "a preset."
        ) from error
    if not isinstance(state, dict):
        raise ValueError(f"Expected an edit such as {_EXAMPLE}, got {_short(state)}.")
    return _edit(_migrated(state))


def edit_from_values(values: Mapping[str, Any]) -> Edit:
    """The edit with these values: name -> number, {"left": number, "right": number} or (left, right).

    It treats them as `parse_edit` does. Raises ValueError for what is not a mapping.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"Expected values such as {{'face_width': 0.5}}, got {_short(values)}.")
    return _edit({"version": VERSION, "values": dict(values)})


def format_edit(edit: Edit) -> str:
    """The JSON string of an edit: `parse_edit` reads it back. Values of 0 are left out, six decimals are kept."""
    values = {name: _written(pair) for name, pair in edit.values.items() if any(_rounded(pair))}
    state: dict[str, Any] = {"version": VERSION, "values": values | edit.kept.get("values", {})}
    if edit.sides != SIDES:
        state["sides"] = list(edit.sides)
    if edit.pinned:
        state["pinned"] = list(edit.pinned)
    if edit.plausible:
        state["plausible"] = True
    others = {key: value for key, value in edit.kept.items() if key not in state}
    return json.dumps(_standard(state | others), ensure_ascii=False, allow_nan=False)


def mirrored(edit: Edit) -> Edit:
    """The edit with left and right exchanged."""
    values = {name: (right, left) for name, (left, right) in edit.values.items()}
    return Edit(values, edit.sides, edit.pinned, edit.plausible, edit.notes, edit.kept)


def _migrated(state: dict) -> dict:
    """The state as one of `VERSION`."""
    if "version" not in state:  # the values alone, or no version by mistake
        return state if isinstance(state.get("values"), dict) else {"values": state}
    version = state["version"]
    whole = isinstance(version, int) and not isinstance(version, bool)
    if not whole or version < 1:
        raise ValueError(f"Expected an edit of version 1 to {VERSION}, got {_short(version)}. Reset the editor.")
    if version > VERSION:
        raise ValueError(
            f"This edit is of version {version}, but this pack reads versions up to {VERSION}: it was made with a "
            "newer one. Update the FantasyID nodes, then try again."
        )
    return state


def _edit(state: dict) -> Edit:
    found, notes = state.get("values", {}), []
    if not isinstance(found, dict):
        notes.append(f"The edit's values are {_short(found)} instead of names with numbers, so nothing is edited.")
        found = {}
    values, unknown = {}, {}
    for name, value in found.items():
        low_high = _range(name)
        if low_high is None:
            unknown[str(name)] = value
        else:
            values[name] = _pair(name, value, low_high, notes)
    if unknown:
        notes.append(_unknown_note(unknown))
    kept = {key: value for key, value in state.items() if key not in ("version", *_READ)}
    return Edit(
        {name: pair for name, pair in values.items() if any(pair)},
        _names(state.get("sides", SIDES), SIDES) or SIDES,
        _names(state.get("pinned", ()), None),
        state.get("plausible") is True,
        tuple(notes),
        kept | ({"values": unknown} if unknown else {}),
    )


_READ = ("values", "sides", "pinned", "plausible")


def _range(name: Any) -> tuple[float, float] | None:
    if name in CONTROLS:
        return CONTROLS[name].low, CONTROLS[name].high
    number = str(name).removeprefix(_FLAME_COMPONENT)
    known = str(name) == _FLAME_COMPONENT + number and number in map(str, range(1, 11))
    return _FLAME_RANGE if known else None


def _pair(name: str, value: Any, low_high: tuple[float, float], notes: list[str]) -> tuple[float, float]:
    if isinstance(value, Mapping):
        pair = tuple(value.get(side, 0) for side in SIDES)
    else:
        pair = tuple(value) if isinstance(value, (tuple, list)) and len(value) == 2 else (value, value)
    clean = tuple(_number(part, low_high) for part in pair)
    low, high = low_high
    for side, given, used in zip(SIDES, pair, clean, strict=True):
        if isinstance(given, Real) and not isinstance(given, bool) and given == used:
            continue
        which = f"{name} ({side})" if pair[0] is not pair[1] else name
        reason = f"expected {low:g} to {high:g}" if _is_number(given) else "expected a number"
        note = f"{which} was {_short(given)} ({reason}) and is used as {used:g}."
        if note not in notes:
            notes.append(note)
    return clean


def _number(value: Any, low_high: tuple[float, float]) -> float:
    if not _is_number(value):
        return 0.0
    return float(min(max(value, low_high[0]), low_high[1])) + 0.0


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and not math.isnan(value)


def _names(found: Any, known: tuple[str, ...] | None) -> tuple[str, ...]:
    if not isinstance(found, (list, tuple)):
        return ()
    return tuple(dict.fromkeys(name for name in found if isinstance(name, str) and (known is None or name in known)))


def _unknown_note(unknown: Mapping[str, Any]) -> str:
    shown = []
    for name in list(unknown)[:5]:
        near = get_close_matches(name, CONTROLS, 1, 0.75)
        shown.append(f"{name} (did you mean {near[0]}?)" if near else name)
    more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
    return (
        f"This version of the face editor does not know: {', '.join(shown)}{more}. They are kept in the edit and have "
        "no effect."
    )


def _rounded(pair: tuple[float, float]) -> tuple[float, float]:
    return tuple(round(float(value), _DECIMALS) + 0.0 for value in pair)


def _written(pair: tuple[float, float]) -> float | dict[str, float]:
    left, right = (int(value) if value.is_integer() else value for value in _rounded(pair))
    return left if left == right else {"left": left, "right": right}


def _standard(value: Any) -> Any:
    """The same without NaN and infinite numbers, which JSON lacks."""
    if isinstance(value, dict):
        return {str(key): _standard(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_standard(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
