"""Topologies of any triangle mesh: simplification, pooling, awkward meshes, the cache."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from fantasyid_core.shape import synthetic_head
from fantasyid_core.shape.ownhead.mesh import head_mesh
from fantasyid_core.shape.topology.meshtopology import build_topology, level_counts, mesh_topology
from fantasyid_core.shape.topology.simplify import simplify
from fantasyid_core.shape.topology.spiral import HalfEdgeMesh, spiral_indices
from fantasyid_core.shape.topology.topology import load_topology, pool


def head(subdivisions=2):
    return tuple(tensor.numpy() for tensor in synthetic_head(subdivisions))


def sheet(size=7, bend=0.0):
    """A square grid of points, open on all sides."""
    x, y = np.meshgrid(np.arange(size), np.arange(size), indexing="xy")
    points = np.stack([x.ravel(), y.ravel(), bend * np.hypot(x - size / 2, y - size / 2).ravel()], axis=1).astype(float)
    corner = np.arange(size * size).reshape(size, size)[:-1, :-1].ravel()
    faces = [(corner, corner + 1, corner + size), (corner + 1, corner + size + 1, corner + size)]
    return points, np.concatenate([np.stack(each, axis=1) for each in faces])


def edges_of(faces):
    return Counter(tuple(sorted((face[i], face[i - 1]))) for face in faces.tolist() for i in range(3))


def euler(count, faces):
    return count - len(edges_of(faces)) + len(faces)


def area(points, faces):
    first, second, third = points[faces].transpose(1, 0, 2)
    return np.linalg.norm(np.cross(second - first, third - first), axis=1).sum() / 2


def volume(points, faces):
    return np.linalg.det(points[faces]).sum() / 6


def test_a_simplified_head_is_a_closed_manifold_of_its_own_vertices():
    points, faces = head(3)
    kept, coarse = simplify(points, faces, 161)
    assert len(kept) == 161 and (np.diff(kept) > 0).all() and len(coarse) == 2 * 161 - 4
    HalfEdgeMesh(coarse, len(kept))  # raises for what is no oriented manifold
    assert set(edges_of(coarse).values()) == {2} and euler(161, coarse) == 2
    assert volume(points[kept], coarse) == pytest.approx(volume(points, faces), rel=0.05)


def test_detail_is_kept_where_the_surface_bends():
    """A flat sheet with one pyramid on it: its tip is the vertex that cannot be left out."""
    points, faces = sheet(9)
    points[40, 2] = 3.0
    kept, _ = simplify(points, faces, 12)
    assert 40 in kept and {0, 8, 72, 80} <= set(kept)


def test_an_open_border_stays_where_it_is():
    points, faces = sheet(9)
    kept, coarse = simplify(points, faces, 20)
    assert area(points[kept], coarse) == pytest.approx(area(points, faces), rel=1e-9)
    assert euler(len(kept), coarse) == 1
    assert (np.cross(*(points[kept][coarse][:, i] - points[kept][coarse][:, 0] for i in (1, 2)))[:, 2] > 0).all()


def test_separate_parts_stay_apart():
    points, faces = head(2)
    both = np.concatenate([points, points + 1.0])
    kept, coarse = simplify(both, np.concatenate([faces, faces + len(points)]), 80)
    side = (kept >= len(points))[coarse]
    assert (side.all(axis=1) | ~side.any(axis=1)).all() and euler(80, coarse) == 4


def test_vertices_without_a_face_leave_first():
    points, faces = head(1)
    loose = np.concatenate([points, points[:5] + 3])
    kept, coarse = simplify(loose, faces, len(points))
    assert kept.tolist() == list(range(len(points))) and edges_of(coarse) == edges_of(faces)
    topology = build_topology(loose, faces, (47, 20, 8))
    assert all(transform.indices[1].max() < len(points) for transform in topology.down[:1])
    assert torch.isfinite(pool(topology.template[None], topology.down[0])).all()


def test_simplifying_is_repeatable_and_does_not_depend_on_the_unit():
    points, faces = head(2)
    first = simplify(points, faces, 41)
    for again in (simplify(points, faces, 41), simplify(1024 * points, faces, 41)):  # exact: the head has ties
        assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))


@pytest.fixture(scope="module")
def pyramid_of_the_own_head():
    mesh = head_mesh()
    return build_topology(mesh.template, mesh.faces).tensors()


@pytest.mark.parametrize("seed", range(2))
def test_last_bits_of_the_vertices_do_not_change_a_symmetric_mesh(pyramid_of_the_own_head, seed):
    # Another processor's sums and sines differ in the last bits. The head is its own mirror image: full of ties.
    mesh = head_mesh()
    noise = np.random.default_rng(seed).uniform(-2e-15, 2e-15, mesh.template.shape)
    again = build_topology(mesh.template * (1 + noise), mesh.faces).tensors()
    assert all(torch.equal(first, again[name]) for name, first in pyramid_of_the_own_head.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p, f: (p, np.concatenate([f, [[0, 1, 50]]]), 30), "not an oriented manifold"),
        (lambda p, f: (p, np.concatenate([f[:1, ::-1], f[1:]]), 30), "not an oriented manifold"),
        (lambda p, f: (p, np.concatenate([f, f[:1]]), 30), "not an oriented manifold"),
        (lambda p, f: (p, np.concatenate([[[3, 3, 4]], f]), 30), "expected three different ones"),
        (lambda p, f: (p, f + 1, 30), "expected faces that name vertices 0 to 161"),
        (lambda p, f: (p, f.astype(float), 30), "as integers"),
        (lambda p, f: (p * np.nan, f, 30), "expected finite coordinates"),
        (lambda p, f: (p[:, :2], f, 30), r"Expected vertices \[V, 3\]"),
        (lambda p, f: (p, f, 0), "Expected to keep 1 to 162 vertices, got 0"),
        (lambda p, f: (p, f, 163), "Expected to keep 1 to 162 vertices, got 163"),
        (lambda p, f: (p, f, 2), "got stuck at 4: every further collapse"),
    ],
)
def test_what_cannot_be_simplified_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        simplify(*change(*head()))


def test_counts_are_flames():
    assert level_counts(5023) == (5023, 1256, 314)


@pytest.mark.parametrize("mesh", [head(), sheet(9, bend=0.3)], ids=["closed", "open"])
def test_a_topology_fits_together(mesh):
    points, faces = mesh
    topology = build_topology(points, faces)
    assert topology.vertex_counts == level_counts(len(points))
    assert np.array_equal(topology.spirals[0], spiral_indices(faces, points, 9))
    fine = topology.template[None]
    for down, up in zip(topology.down, topology.up, strict=True):
        coarse = pool(fine, down)
        kept = down.indices[1]
        assert torch.equal(coarse[0], fine[0, kept])
        back = pool(coarse, up)
        assert torch.allclose(back[0, kept], coarse[0], atol=1e-6)  # what was kept comes back to its place
        weights = torch.zeros(up.shape[0]).index_add(0, up.indices[0], up.values)
        assert torch.allclose(weights, torch.ones(up.shape[0])) and (up.values >= 0).all()
        fine = coarse
    loaded = type(topology).from_tensors(topology.tensors())
    assert all(torch.equal(value, loaded.tensors()[key]) for key, value in topology.tensors().items())


def test_up_takes_the_nearest_point_of_the_surface():
    points, faces = head(2)
    topology = build_topology(points, faces, (162, 41))
    corners, up = pool(topology.template[None], topology.down[0]), topology.up[0]
    placed = pool(corners, up)[0].double().numpy()
    kept, coarse = simplify(points, faces, 41)
    shares = np.stack(np.meshgrid(*[np.linspace(0, 1, 21)] * 2), axis=-1).reshape(-1, 2)
    shares = shares[shares.sum(axis=1) <= 1]
    first, second, third = points[kept][coarse].astype(float).transpose(1, 0, 2)
    grid = first[:, None] + shares[:, :1] * (second - first)[:, None] + shares[:, 1:] * (third - first)[:, None]
    best = np.array([np.linalg.norm(grid - point, axis=2).min() for point in points])
    found = np.linalg.norm(placed - points, axis=1)
    assert (found <= best + 1e-7).all() and (found >= best - 0.004).all()  # the grid is up to 4 mm coarse


def test_the_projects_own_head_has_a_topology():
    from fantasyid_core.shape.ownhead.mesh import head_mesh

    mesh = head_mesh()
    topology = build_topology(mesh.template, mesh.faces)
    assert topology.vertex_counts == level_counts(len(mesh.template))
    features = topology.template[None]
    there = pool(pool(features, topology.down[0]), topology.down[1])
    back = pool(pool(there, topology.up[1]), topology.up[0])
    assert (features - back).square().sum(-1).mean().sqrt() < 0.003  # metres; measured 0.0021


@pytest.mark.parametrize("counts", [(162,), (161, 40), (162, 162), (162, 0), (162, 40, 41)])
def test_levels_must_fall(counts):
    with pytest.raises(ValueError, match="Expected falling numbers of vertices per level, from the mesh's 162 on"):
        build_topology(*head(), counts)


def test_a_point_cloud_has_no_topology():
    points, _ = head()
    with pytest.raises(ValueError, match="Expected a mesh with triangles, got none"):
        build_topology(points, np.zeros((0, 3), np.int64))


def test_the_result_is_kept_for_the_next_time(tmp_path, monkeypatch):
    monkeypatch.setenv("FANTASYID_CACHE", str(tmp_path))
    points, faces = head()
    built = mesh_topology(points, faces)
    (path,) = tmp_path.iterdir()
    assert load_topology(path).vertex_counts == built.vertex_counts

    def must_not_run(*_):
        raise AssertionError("built again")

    with monkeypatch.context() as patched:
        patched.setattr("fantasyid_core.shape.topology.meshtopology.build_topology", must_not_run)
        again = mesh_topology(points, faces)
    assert all(torch.equal(value, again.tensors()[key]) for key, value in built.tensors().items())
    mesh_topology(points * 1.1, faces)
    assert len(list(tmp_path.iterdir())) == 2
    path.write_bytes(b"damaged")
    assert mesh_topology(points, faces).vertex_counts == built.vertex_counts
    assert load_topology(path).vertex_counts == built.vertex_counts  # and written anew
