"""The procedural head: a closed, mirrored, head-like mesh, and the topology that fits it."""

import numpy as np
import pytest
import torch

from fantasyid_core.shape import pool, synthetic_head, synthetic_topology


@pytest.mark.parametrize("subdivisions", [0, 1, 3])
def test_mesh_is_closed_and_faces_outwards(subdivisions):
    vertices, faces = synthetic_head(subdivisions)
    count = 10 * 4**subdivisions + 2
    assert vertices.shape == (count, 3) and vertices.dtype == torch.float32
    assert faces.shape == (2 * count - 4, 3) and faces.dtype == torch.int64
    sides = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).tolist()
    assert len({tuple(side) for side in sides}) == len(sides)  # every side once, so no flipped face
    assert {(a, b) for a, b in sides} == {(b, a) for a, b in sides}  # and each has its twin: no holes
    corners = vertices[faces].double()
    normals = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (corners[:, 0] * normals).sum() / 6 > 0.0015  # cubic metres: a head holds three to four litres
    assert normals.norm(dim=1).min() > 1e-6


def test_finer_heads_begin_with_the_coarser_ones():
    torch.testing.assert_close(synthetic_head(3)[0][:162], synthetic_head(2)[0], rtol=0, atol=0)


def test_the_mesh_has_the_size_and_features_of_a_head():
    vertices = synthetic_head(4)[0].numpy()
    width, height, depth = np.ptp(vertices, axis=0)
    assert 0.14 < width < 0.18 and 0.24 < height < 0.26 and 0.18 < depth < 0.22
    nose = vertices[vertices[:, 2].argmax()]
    assert abs(nose[0]) < 0.005 and -0.03 < nose[1] < 0.0
    assert depth_at(vertices, 0.031, 0.012) < depth_at(vertices, 0.0, 0.012) - 0.01  # eye sockets
    assert depth_at(vertices, 0.0, -0.086) > depth_at(vertices, 0.0, -0.070)  # a chin
    lowest = vertices[vertices[:, 1] < -0.13]
    assert np.ptp(lowest[:, 0]) < 0.12 < width  # a neck
    assert vertices.astype(np.float64).mean(axis=0)[0] == pytest.approx(0, abs=1e-7)


def depth_at(vertices, x, y):
    front = vertices[vertices[:, 2] > 0]
    return front[np.hypot(front[:, 0] - x, front[:, 1] - y).argmin(), 2]


def test_the_mesh_is_its_own_mirror_image():
    vertices = synthetic_head(3)[0]
    mirrored = vertices * torch.tensor([-1.0, 1.0, 1.0])
    assert torch.cdist(mirrored.double(), vertices.double()).min(dim=1).values.max() < 1e-6


def test_topology_fits_the_head():
    topology = synthetic_topology(levels=3, subdivisions=3)
    vertices, faces = synthetic_head(3)
    assert topology.vertex_counts == (642, 162, 42)
    assert [tuple(spirals.shape) for spirals in topology.spirals] == [(642, 9), (162, 9)]
    assert torch.equal(topology.template, vertices) and torch.equal(topology.faces, faces)


def test_down_selects_and_up_takes_the_middle_of_edges():
    topology = synthetic_topology(levels=2, subdivisions=2)
    fine = torch.randn(1, 162, 4)
    coarse = pool(fine, topology.down[0])
    assert torch.equal(coarse, fine[:, :42])
    again = pool(coarse, topology.up[0])
    assert torch.equal(again[:, :42], coarse)
    faces = synthetic_head(1)[1]
    edges = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).sort(dim=1).values.unique(dim=0)
    middles = coarse[:, edges].mean(dim=2)
    assert torch.cdist(again[0, 42:], middles[0]).min(dim=0).values.max() < 1e-3
    assert len(edges) == 162 - 42
    # And the new vertex does lie between the two on the fine mesh: they are its neighbours.
    faces = topology.faces
    sides = {frozenset(side) for side in torch.cat([faces[:, :2], faces[:, 1:], faces[:, ::2]]).tolist()}
    for row, column in topology.up[0].indices.T.tolist():
        assert row == column or frozenset((row, column)) in sides


@pytest.mark.parametrize("levels, subdivisions", [(1, 3), (5, 3), (2, 0)])
def test_impossible_levels_are_refused(levels, subdivisions):
    with pytest.raises(ValueError, match=f"levels for {subdivisions} subdivisions, got {levels}"):
        synthetic_topology(levels, subdivisions)


@pytest.mark.parametrize("subdivisions", [-1, 7])
def test_impossible_subdivisions_are_refused(subdivisions):
    with pytest.raises(ValueError, match=rf"0\.\.6 subdivisions, got {subdivisions}"):
        synthetic_head(subdivisions)
