"""Brute-force checks of a mesh: which triangles run through each other, and which turned over."""

import numpy as np


def crossings(vertices, faces):
    """Pairs of triangles without a common vertex that run through each other, as a set of (i, j), i < j."""
    corners = np.asarray(vertices, float)[faces]
    first, second = _near(corners.min(axis=1), corners.max(axis=1))
    apart = (faces[first][:, :, None] != faces[second][:, None]).all(axis=(1, 2))
    first, second = first[apart], second[apart]
    crossed = np.zeros(len(first), bool)
    for one, other in ((first, second), (second, first)):
        for corner in range(3):
            start, end = corners[one, corner], corners[one, (corner + 1) % 3]
            crossed |= _pierces(start, end, corners[other])
    pairs = np.sort(np.column_stack([first, second])[crossed], axis=1)
    return set(map(tuple, pairs.tolist()))


def turned_over(before, after, faces):
    """Indices of the triangles whose normal turned by a right angle or more."""
    cosine = (_normals(before, faces) * _normals(after, faces)).sum(axis=1)
    return np.flatnonzero(~(cosine > 0))


def _normals(vertices, faces):
    first, second, third = np.asarray(vertices, float)[faces].transpose(1, 0, 2)
    return np.cross(second - first, third - first)


def _near(low, high):
    """Indices of the pairs whose boxes overlap."""
    order = np.argsort(low[:, 0], kind="stable")
    low, high = low[order], high[order]
    stop = np.searchsorted(low[:, 0], high[:, 0], side="right")
    counts = np.maximum(stop - np.arange(len(order)) - 1, 0)
    first = np.repeat(np.arange(len(order)), counts)
    second = first + 1 + np.arange(len(first)) - np.repeat(np.cumsum(counts) - counts, counts)
    for axis in (1, 2):
        kept = (low[first, axis] <= high[second, axis]) & (low[second, axis] <= high[first, axis])
        first, second = first[kept], second[kept]
    return order[first], order[second]


def _pierces(start, end, triangles):
    """Whether segments [N,3] pass through triangles [N,3,3] (Moeller and Trumbore 1997)."""
    first, along = triangles[:, 0], end - start
    side, other = triangles[:, 1] - first, triangles[:, 2] - first
    across = np.cross(along, other)
    scale = (side * across).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        away = start - first
        u = (away * across).sum(axis=1) / scale
        turned = np.cross(away, side)
        v = (along * turned).sum(axis=1) / scale
        at = (other * turned).sum(axis=1) / scale
    return (u >= 0) & (v >= 0) & (u + v <= 1) & (at >= 0) & (at <= 1)
