"""The face encoder that keeps places, and which kind of encoder a file holds."""

from __future__ import annotations

import pytest
import torch

from fantasyid_core.tinymodel.face import TinyFaceEncoder
from fantasyid_core.tinymodel.gridface import GridFaceConfig, GridFaceEncoder
from fantasyid_core.tinymodel.loading import SHIPPED, load_vae
from fantasyid_core.tinymodel.models import FACE_FILE, TinyModels, load_face, save_tiny_models
from fantasyid_core.tinymodel.text import TextEncoder


def test_tokens_are_a_class_token_and_a_grid():
    encoder = GridFaceEncoder()
    assert sum(value.numel() for value in encoder.parameters()) < 1.3e6
    with torch.no_grad():
        tokens = encoder(torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    assert tokens.shape == (2, encoder.tokens, encoder.width) == (2, 65, 128)


def test_tokens_see_their_own_places():
    """Without layers that compare tokens, what changes in a corner changes the tokens there alone."""
    encoder = GridFaceEncoder(GridFaceConfig(blocks=(1, 0), layers=0))
    picture = torch.full((1, 3, 64, 64), 0.5)
    other = picture.clone()
    other[:, :, :8, 56:] = 1.0
    with torch.no_grad():
        change = (encoder(other) - encoder(picture))[0, 1:].abs().sum(1).view(8, 8)
    assert change[0, 7] > 0.5 * change.max() and change[4:].max() == 0 and change[:, :4].max() == 0


def test_one_seed_makes_one_encoder():
    first, again, other = (GridFaceEncoder(GridFaceConfig.tiny(), seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)
    with pytest.raises(ValueError, match="as many blocks as widths"):
        GridFaceConfig(blocks=(1,))


@pytest.mark.parametrize(
    "encoder", [TinyFaceEncoder(), GridFaceEncoder(GridFaceConfig(blocks=(1, 1)))], ids=lambda e: e.name
)
def test_a_file_says_which_kind_it_holds(encoder, tmp_path):
    save_tiny_models(TinyModels(load_vae(), TextEncoder(), encoder), tmp_path, torch.float32)
    again = load_face(tmp_path / FACE_FILE)
    assert type(again) is type(encoder) and again.config == encoder.config
    picture = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(again(picture), encoder(picture))


def test_a_file_of_another_network_is_refused():
    with pytest.raises(ValueError, match="to be a tiny_face file of this project, got tiny_vae"):
        load_face(SHIPPED / "vae.safetensors")
