"""Brute-force checks of a mesh: its pooling matrices in full, triangles that run through each other or turned over."""

import numpy as np
import torch


def dense(transform):
    """A pooling matrix of a topology with all its zeros, [rows, columns]."""
    matrix = torch.zeros(transform.shape)
    return matrix.index_put_(tuple(transform.indices), transform.values, accumulate=True)


def near_pairs(versions, faces):
    """Pairs [N,2] of triangles without a common vertex whose boxes overlap, boxes being those over all versions
    [K,V,3] of the mesh."""
    corners = np.asarray(versions, float)[:, faces]  # [K,F,3,3]
    first, second = _overlapping(corners.min(axis=(0, 2)), corners.max(axis=(0, 2)))
    apart = (faces[first][:, :, None] != faces[second][:, None]).all(axis=(1, 2))
    return np.column_stack([first, second])[apart]


def crossings(vertices, faces, pairs=None):
    """Those of the pairs of triangles (by default all) that run through each other, as a set of (i, j), i < j."""
    pairs = near_pairs([vertices], faces) if pairs is None else pairs
    corners, crossed = np.asarray(vertices, float)[faces], np.zeros(len(pairs), bool)
    for one, other in (pairs.T, pairs.T[::-1]):
        for corner in range(3):
            crossed |= _pierces(corners[one, corner], corners[one, (corner + 1) % 3], corners[other])
    return set(map(tuple, np.sort(pairs[crossed], axis=1).tolist()))


def away_from(found, known, faces):
    """Those of the crossings that are not next to a known one: no triangles around the pair cross each other there."""
    around = {}
    for index, corners in enumerate(faces.tolist()):
        for vertex in corners:
            around.setdefault(vertex, set()).add(index)

    def neighbours(triangle):
        return set().union(*(around[vertex] for vertex in faces[triangle].tolist()))

    return [
        (one, other)
        for one, other in found
        if not any((min(a, b), max(a, b)) in known for a in neighbours(one) for b in neighbours(other))
    ]


def turned_over(before, after, faces):
    """Indices of the triangles whose normal turned by a right angle or more."""
    cosine = (_normals(before, faces) * _normals(after, faces)).sum(axis=1)
    return np.flatnonzero(~(cosine > 0))


def _normals(vertices, faces):
    first, second, third = np.asarray(vertices, float)[faces].transpose(1, 0, 2)
    return np.cross(second - first, third - first)


def _overlapping(low, high):
    order = np.argsort(low[:, 1], kind="stable")  # heads are tallest in y
    low, high = low[order], high[order]
    stop = np.searchsorted(low[:, 1], high[:, 1], side="right")
    counts = np.maximum(stop - np.arange(len(order)) - 1, 0)
    first = np.repeat(np.arange(len(order)), counts)
    second = first + 1 + np.arange(len(first)) - np.repeat(np.cumsum(counts) - counts, counts)
    for axis in (0, 2):
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
