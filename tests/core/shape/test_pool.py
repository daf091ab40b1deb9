"""Pooling of vertex features by the sparse matrices of a topology."""

import pytest
import torch
from meshcheck import dense

from fantasyid_core.shape import pool
from fantasyid_core.shape.topology.topology import Transform


def random_transform(rows=7, columns=5, entries=17):
    draw = torch.Generator().manual_seed(0)
    cells = torch.randperm((rows - 1) * columns, generator=draw)[:entries]  # the last row stays empty
    indices = torch.stack([cells // columns, cells % columns])
    return Transform(indices, torch.randn(entries, generator=draw), (rows, columns))


def test_pool_is_the_matrix_product():
    transform = random_transform()
    features = torch.randn(2, 5, 3, dtype=torch.float64)
    expected = dense(transform).double() @ features
    torch.testing.assert_close(pool(features, transform), expected, rtol=1e-12, atol=1e-12)
    assert (expected[:, -1] == 0).all()


def test_pool_adds_repeated_entries():
    transform = Transform(torch.tensor([[0, 0, 0], [1, 1, 0]]), torch.tensor([1.0, 2.0, 4.0]), (1, 2))
    assert pool(torch.tensor([[[10.0], [1.0]]]), transform).tolist() == [[[43.0]]]


def test_pool_is_differentiable():
    features = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda values: pool(values, random_transform()), features)


def test_pool_computes_in_float32_whatever_the_features():
    transform = Transform(torch.tensor([[0, 0], [0, 1]]), torch.tensor([1.001, -1.0]), (1, 2))
    pooled = pool(torch.ones(1, 2, 1, dtype=torch.bfloat16), transform)
    assert pooled.dtype == torch.bfloat16
    assert pooled.item() == pytest.approx(0.001, rel=0.01)  # 1.001 is 1 in bfloat16


@pytest.mark.parametrize("shape", [(2, 4, 3), (5, 3), (1, 6, 3)])
def test_pool_refuses_another_mesh(shape):
    with pytest.raises(ValueError, match=r"vertex features \[B, 5, C\], got"):
        pool(torch.zeros(shape), random_transform())
