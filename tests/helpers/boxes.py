"""Where a workflow's nodes lie, and which of them cover each other."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import NamedTuple

TITLE = 30  # pixels above a node's position, in both renderers


class Box(NamedTuple):
    name: str
    left: float
    top: float
    width: float
    height: float

    def covers(self, other: Box) -> bool:
        beside = self.left >= other.left + other.width or other.left >= self.left + self.width
        return not (beside or self.top >= other.top + other.height or other.top >= self.top + self.height)

    def holds(self, other: Box) -> bool:
        right, bottom = self.left + self.width, self.top + self.height
        inside = other.left >= self.left and other.top >= self.top
        return inside and other.left + other.width <= right and other.top + other.height <= bottom


def node_box(node: dict, least: float = 0) -> Box:
    """A saved node with its title; least: the height that the renderer gives it at least, with its title."""
    (x, y), (width, height) = node["pos"], node["size"]
    return Box(f"{node['id']} {node['type']}", x, y - TITLE, width, max(height + TITLE, least))


def covering(boxes: Iterable[Box]) -> list[tuple[str, str]]:
    """The names of all pairs that cover each other."""
    return [(one.name, other.name) for one, other in combinations(boxes, 2) if one.covers(other)]
