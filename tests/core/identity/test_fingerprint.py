"""The fingerprint of an adapter."""

from __future__ import annotations

import copy
import re

import pytest
import torch
from small import make_adapter

from fantasyid_core.identity.fingerprint import adapter_fingerprint


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn])
def test_the_same_adapter_in_another_precision_has_the_same_fingerprint(dtype):
    adapter = make_adapter()
    other = copy.deepcopy(adapter).to(dtype)
    assert adapter_fingerprint(other) == adapter_fingerprint(adapter)
    assert re.fullmatch("[0-9a-f]{16}", adapter_fingerprint(adapter))


def test_other_weights_or_sizes_have_another_fingerprint():
    changed = make_adapter()
    with torch.no_grad():
        changed.layers[0].to_kv.weight[0, 0] *= -1
    made = [make_adapter(), make_adapter(seed=1), make_adapter(interval=2), changed]
    assert len({adapter_fingerprint(adapter) for adapter in made}) == len(made)


def test_a_tiny_weight_keeps_its_sign_when_it_underflows():
    adapter = make_adapter()
    with torch.no_grad():
        adapter.encoder.face_abstractor.projection[0, 0] = -1e-30
    small = copy.deepcopy(adapter).to(torch.float8_e4m3fn)
    assert small.encoder.face_abstractor.projection[0, 0].item() == 0
    assert adapter_fingerprint(small) == adapter_fingerprint(adapter)
