"""Going on from packaged weights: an adapter comes with its mesh topology, everywhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fantasyid_core.shape.ownhead.mesh import head_mesh
from fantasyid_core.shape.topology.meshtopology import build_topology
from fantasyid_core.shape.topology.topology import save_topology
from fantasyid_core.tinymodel.loading import SHIPPED
from fantasyid_core.tinymodel.sampler import ADAPTER_FILE, load_networks
from fantasyid_core.training.build import build_models
from fantasyid_core.training.config import load_config
from fantasyid_core.weights.adapter import load_adapter


def going_on(*changes):
    own = [f"model.folder={SHIPPED}", "model.adapter=folder", "model.portraits=null", "precision=fp32", "device=cpu"]
    return build_models(load_config("tiny", [*own, *changes]))


@pytest.fixture(scope="module")
def another_topology(tmp_path_factory):
    """Of the same mesh, with as many vertices in every level, but not the same ones."""
    mesh = head_mesh()
    counts = load_adapter(SHIPPED / ADAPTER_FILE).topology.vertex_counts
    bent = mesh.template + 0.002 * np.sin(200 * mesh.template)
    path = tmp_path_factory.mktemp("topology") / "topology.safetensors"
    save_topology(build_topology(bent, mesh.faces, counts), path)
    return path


def test_going_on_from_the_weights_that_come_along_gives_their_tokens():
    shipped, models = load_networks(), going_on()
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(2, 3, 64, 64, generator=generator)
    vertices = torch.tensor(head_mesh().template, dtype=torch.float32) * (
        1 + 0.02 * torch.rand(2, 1, 3, generator=generator)
    )
    with torch.no_grad():
        theirs = shipped.adapter.encode(shipped.small.face_encoder(pixels), vertices)
        ours = models.adapter.encode(models.face_encoder(pixels), vertices)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    assert models.adapter.topology.fingerprint == shipped.adapter.topology.fingerprint
    assert all(value.requires_grad for value in models.adapter.parameters())


def test_another_topology_is_refused(another_topology):
    with pytest.raises(ValueError, match="was trained on another mesh"):
        going_on(f"model.topology={another_topology}")


def test_other_sizes_than_the_files_are_refused():
    with pytest.raises(ValueError, match="has face_tokens 64, the config asks for 16"):
        going_on("model.sizes={face_tokens: 16}")
    with pytest.raises(ValueError, match="tokens is no size of an adapter"):
        going_on("model.sizes={tokens: 16}")
    with pytest.raises(ValueError, match="has variant paper, the config asks for release"):
        going_on("model.variant=release")
