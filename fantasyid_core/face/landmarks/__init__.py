"""Faces and their 478 points, with MediaPipe's networks and nothing to download.

Read in this order: `points` (the meaning of each point), the networks `short_range`, `full_range` and `mesh` with
`layers` and `attention`, `weights` and `convert` (their weights); then `views` and `squares` (the networks' inputs),
`boxes` (their outputs), `search`, `confirm` and `faces`.
"""

from importlib import import_module

_HOMES = {"LandmarkedFace": "faces", "find_landmarks": "faces", "landmarked_faces": "faces"}

__all__ = list(_HOMES)


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
