"""Short prompts for motion and scene. Left and right are those of the picture, as the viewer sees it.

turns the head to the left and smiles, blue background, light from the right
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .backdrop import BACKGROUNDS

if TYPE_CHECKING:
    from .backdrop import Backdrop
    from .motion import Motion

_HEAD = {
    "still": "",
    "turn left": "turns the head to the left",
    "turn right": "turns the head to the right",
    "turn from left to right": "turns the head from left to right",
    "turn from right to left": "turns the head from right to left",
    "shake": "shakes the head",
    "nod": "nods",
    "look up": "looks up",
    "look down": "looks down",
    "tilt left": "tilts the head to the left",
    "tilt right": "tilts the head to the right",
}
_FACE = {
    "neutral": "",
    "smile": "smiles",
    "stop smiling": "stops smiling",
    "open mouth": "opens the mouth",
    "talk": "talks",
    "blink": "blinks",
    "close eyes": "closes the eyes",
    "raise brows": "raises the brows",
}
_CAMERA = {"still": "", "zoom in": "camera zooms in", "zoom out": "camera zooms out"}
_LIGHT = {
    "front": "light from the front",
    "left": "light from the left",
    "right": "light from the right",
    "above": "light from above",
    "left to right": "light moves from left to right",
    "right to left": "light moves from right to left",
}
_AT_REST = "looks at the camera"


def prompt_of(motion: Motion, backdrop: Backdrop) -> str:
    """Says what the clip shows: motion of head and face, of the camera, background, light."""
    acts = [act for act in (_HEAD[motion.head], _FACE[motion.face]) if act]
    scene = [_CAMERA[motion.camera], f"{backdrop.colour} background", _LIGHT[motion.light]]
    parts = [" and ".join(acts) or _AT_REST, *scene]
    return ", ".join(part for part in parts if part)


def vocabulary() -> tuple[str, ...]:
    """Every word that a prompt can hold, in alphabetical order; the comma counts as one."""
    texts = [*_HEAD.values(), *_FACE.values(), *_CAMERA.values(), *_LIGHT.values(), *BACKGROUNDS, _AT_REST]
    return tuple(sorted({word for text in texts for word in text.split()} | {"and", "background", ","}))
