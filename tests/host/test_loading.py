"""How the weights get into the host's model."""

from __future__ import annotations

import gc
import weakref

import torch
from small import make_transformer_state

from fantasyid_core.config import TransformerConfig

SIZES = TransformerConfig.tiny(max_text_seq_length=16)
CONFIG = {name: getattr(SIZES, name) for name in TransformerConfig.__dataclass_fields__}


def test_loading_never_holds_all_weights_twice(host, monkeypatch):
    """At any time the tensors read but not yet in the model are those of one block at most."""
    from fantasyid_core.files.checkpoint import Checkpoint
    from fantasyid_core.host import comfy as comfy_host

    state = make_transformer_state(SIZES)
    read: list[weakref.ref] = []
    most = []

    def watched(self, key):
        gc.collect()
        most.append(sum(ref().nbytes for ref in read if ref() is not None))
        tensor = state[key].clone()
        read.append(weakref.ref(tensor))
        return tensor

    monkeypatch.setattr(Checkpoint, "read", watched)
    gc.freeze()  # what other tests left need not be searched again and again
    model = comfy_host.load_model(state, config=CONFIG)
    gc.unfreeze()
    block = sum(value.nbytes for key, value in state.items() if key.startswith("transformer_blocks.0."))
    assert max(most) <= 1.1 * block < 0.7 * sum(value.nbytes for value in state.values())
    weights = model.model.diffusion_model.state_dict()
    assert torch.equal(weights["blocks.1.ff_out.weight"], state["transformer_blocks.1.ff.net.2.weight"])
