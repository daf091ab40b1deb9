"""The quick GELU is PyTorch's, and its gradient is the derivative."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from fantasyid_core.config import TransformerConfig
from fantasyid_core.host.diffusers.model import build_transformer
from fantasyid_core.training.activation import TanhGelu, quicken_gelu


def test_values_and_gradients_are_those_of_the_formula():
    x = torch.cat([torch.linspace(-12, 12, 4001), torch.tensor([-60.0, 60.0, 0.0])])
    mine, theirs = (x.clone().requires_grad_() for _ in range(2))
    weights = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    (TanhGelu.apply(mine) * weights).sum().backward()
    (F.gelu(theirs, approximate="tanh") * weights).sum().backward()
    torch.testing.assert_close(TanhGelu.apply(mine), F.gelu(theirs, approximate="tanh"), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=2e-6)
    assert torch.autograd.gradcheck(TanhGelu.apply, x[1500:2500:100].double().requires_grad_())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_transformer_computes_the_same_under_the_same_names(dtype):
    torch.manual_seed(0)
    sizes = TransformerConfig.tiny(max_text_seq_length=4)
    transformer = build_transformer(sizes).to(dtype)
    names = list(transformer.state_dict())
    latents, texts = torch.randn(1, 3, 32, 8, 12).to(dtype), torch.randn(1, 4, 64).to(dtype)
    run = lambda: transformer(latents, texts, torch.tensor([500]), return_dict=False)[0]  # noqa: E731
    stock = run()
    quicken_gelu(transformer)
    assert list(transformer.state_dict()) == names
    tolerance = 1e-5 if dtype == torch.float32 else 0
    torch.testing.assert_close(run(), stock, rtol=tolerance, atol=tolerance)
    run().square().mean().backward()
    assert all(value.grad is not None for name, value in transformer.named_parameters() if ".ff." in name)
