"""Changing the face in every frame of a finished video as the sliders say, without any video model.

Read in this order: `settings` (who is changed, and how) and `report` (what came of it); then what happens to the
frames: `frames` (they are checked), `track` (each person is followed), `smooth` (points without jitter, and fades),
`cliphead` (one head for the whole clip), `field` (where each pixel comes from), `paste` (the new picture), `meter`
(how far the face moved) and `video`, which puts them together."""

from importlib import import_module

_HOMES = {
    "settings": ("PersonEdit", "ReshapeSettings"),
    "report": ("PersonReport", "Quantity", "ReshapedFrame", "ReshapeReport"),
    "video": ("reshape_frames", "reshape_video"),
}

__all__ = sorted(name for names in _HOMES.values() for name in names)


def __getattr__(name: str):
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
