"""Videos through PyAV: all frames to an .mp4 and back (`frames`), and a long video written anew frame by frame
(`rewrite`) with its `sound`."""

from importlib import import_module

_HOMES = {
    "save_video": "frames",
    "read_video": "frames",
    "read_comment": "frames",
    "FULL_RANGE": "frames",
    "rewrite_video": "rewrite",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
