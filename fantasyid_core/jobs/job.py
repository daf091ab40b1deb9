"""The inputs of one video, and how to tell whether a file was made from them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import __version__
from ..machine.settings import LATER
from ..options import OFFLOADS, ROWS
from ..pipeline import Inputs, Settings
from ..videofile import read_comment

_KEY = "fantasyid"
_FORBIDDEN = set('<>:"|?*\\')


@dataclass(frozen=True, eq=False)
class Job:
    """One video. name: of its file in the folder of all, .mp4. options: JSON by which it can be made again.

    The options, and the fingerprint of all that the video is made of, are written into the file's metadata. Raises
    ValueError for a name that is no file name.
    """

    name: str
    inputs: Inputs
    settings: Settings
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        parts = Path(self.name).parts
        if not parts or Path(self.name).is_absolute() or ".." in parts or set(self.name) & _FORBIDDEN:
            raise ValueError(f"Expected the name of a video file, such as anna.mp4, got {self.name!r}.")
        if Path(self.name).suffix.lower() != ".mp4":
            raise ValueError(f"Expected the name of a video that ends in .mp4, got {self.name!r}. Change the ending.")

    @property
    def person_key(self) -> str:
        """Equal for videos of the same person with the same first picture in the same model."""
        after = self.inputs.after
        return fingerprint([self.network_key, self.inputs.person, *([] if after is None else [after])])

    @property
    def network_key(self) -> str:
        """Equal for videos that are made with the same loaded networks."""
        inputs, settings = self.inputs, self.settings
        places = [str(Path(inputs.model).resolve()), str(inputs.topology or ""), str(inputs.face_encoder or "")]
        return fingerprint([*places, *_accepted(inputs), settings.machine])

    def record(self) -> str:
        """The text for the file's metadata."""
        return record_for(self.inputs, self.settings, self.options)

    def missing_files(self) -> list[str]:
        """The files of the person, and of the video that is continued, that are not there."""
        person = self.inputs.person
        named = [person.shape, person.saved, person.like, *person.photo_list, self.inputs.after]
        return [str(path) for path in named if isinstance(path, (str, os.PathLike)) and not Path(path).is_file()]


def record_for(inputs: Inputs, settings: Settings, options: Mapping[str, Any]) -> str:
    """The metadata of a video: the options, and a fingerprint of what the video is made of."""
    # Neither where the video is computed nor where the files lie changes the video.
    settings = dataclasses.replace(settings, device=None, offload=OFFLOADS[0], parallel=ROWS, compile=False)
    person = fingerprint(inputs.person, contents=True)
    after = [] if inputs.after is None else [fingerprint(["after", inputs.after], contents=True)]
    made_of = fingerprint([Path(inputs.model).name, settings, person, *_accepted(inputs), *after])
    return json.dumps({_KEY: __version__, "made of": made_of, "options": dict(options)}, sort_keys=True)


def _accepted(inputs: Inputs) -> list[str]:
    # Added only where it is accepted, so that videos of before keep their fingerprints.
    return ["approximate"] if inputs.approximate else []


def options_of(video: str | os.PathLike) -> dict[str, Any]:
    """The options by which a video was made. Raises ValueError for a video that says none, FileNotFoundError."""
    try:
        record = json.loads(read_comment(video))
        return dict(record["options"]) if _KEY in record else {}
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{video} does not say how it was made: expected a video that `generate` wrote. Programs that edit "
            "or send videos drop such notes."
        ) from error


def record_of(video: Path) -> str | None:
    """The whole record of a video; None for a file that is no video or says nothing."""
    try:
        return read_comment(video) or None
    except ValueError:
        return None


def fingerprint(value: Any, contents: bool = False) -> str:
    """Sixteen hex digits of values, arrays, data classes and file names, and of the files' contents if asked for."""
    digest = hashlib.sha256()
    for part in _parts(value, contents):
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()[:16]


def _parts(value: Any, contents: bool):
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for each in dataclasses.fields(value):
            if each.metadata.get(LATER) and getattr(value, each.name) == each.default:
                continue
            yield each.name.encode()
            yield from _parts(getattr(value, each.name), contents)
    elif isinstance(value, torch.Tensor):
        yield from _parts(value.detach().cpu().numpy(), contents)
    elif isinstance(value, np.ndarray):
        yield f"{value.dtype}{value.shape}".encode() + np.ascontiguousarray(value).tobytes()
    elif isinstance(value, Mapping):
        yield from _parts(sorted(value.items()), contents)
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        yield str(len(value)).encode()
        for each in value:
            yield from _parts(each, contents)
    elif contents and isinstance(value, (str, os.PathLike)) and Path(value).is_file():
        yield hashlib.sha256(Path(value).read_bytes()).digest()
    else:
        yield f"{type(value).__name__} {value}".encode()
