"""The identity branch: golden outputs of the official code, live parameters, bad input."""

from __future__ import annotations

import pytest
import torch
from golden import relative_error
from small import inputs_of, make_adapter

from fantasyid_core.identity.network.abstractor import FaceAbstractor, square_side
from fantasyid_core.identity.network.depth_vertices import depth_code


def test_face_tokens_are_the_official_ones(reference_tokens, golden):
    assert relative_error(reference_tokens[:, :36], golden["face_tokens"]) <= 1e-5


def test_vertex_tokens_are_the_official_ones(reference_tokens, golden):
    assert relative_error(reference_tokens[:, 36:], golden["vertex_tokens"]) <= 1e-5


def test_vertex_descriptors_are_the_official_ones(reference_adapter, golden):
    with torch.no_grad():
        descriptors = reference_adapter.encoder.vertex_encoder(golden["vertices"], golden["face_tokens"])
    assert relative_error(descriptors[:, :64], golden["vertex_descriptor_head64"]) <= 1e-5


def test_encoding_needs_the_live_parameters_only(reference_adapter):
    parts = reference_adapter.encoder
    assert sum(p.numel() for p in parts.face_abstractor.parameters()) == pytest.approx(17.7e6, rel=0.01)
    assert sum(p.numel() for p in parts.parameters()) <= 62e6


def test_released_weights_ignore_x_and_y(tiny_adapter):
    # An oddity that the released weights depend on: only the depth of the coarse mesh is read.
    feats, vertices = inputs_of(tiny_adapter)
    with torch.no_grad():
        plain = tiny_adapter.encode(feats, vertices)
        assert torch.equal(plain, tiny_adapter.encode(feats, vertices * torch.tensor([3.0, 0.2, 1.0])))
        assert not torch.allclose(plain, tiny_adapter.encode(feats, vertices * torch.tensor([1.0, 1.0, 1.5])))


def test_both_position_embeddings_are_added_and_the_cls_token_is_dropped(tiny_adapter):
    # The release adds its position embeddings in place, so the last abstractor sees two of them.
    abstractor = tiny_adapter.encoder.face_abstractor
    feats, _ = inputs_of(tiny_adapter)
    seen = []
    handle = abstractor.abstractor.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        abstractor(feats)
        handle.remove()
        expected = abstractor.mapping(feats)[:, 1:] + abstractor.previous_position + abstractor.position
    assert torch.allclose(seen[0], expected)


def test_depth_code_is_sine_then_cosine_of_growing_wavelength():
    depth = torch.tensor([[[0.25]]])
    code = depth_code(depth, 4)[0, 0]
    angle = 0.25 * 2 * torch.pi
    expected = [angle, angle, angle / 100, angle / 100]
    assert torch.allclose(
        code,
        torch.tensor([torch.tensor(a).sin() if i % 2 == 0 else torch.tensor(a).cos() for i, a in enumerate(expected)]),
        atol=1e-6,
    )


def test_a_batch_is_the_sum_of_its_members(tiny_adapter):
    feats, vertices = inputs_of(tiny_adapter, batch=2)
    feats = feats.clone()
    feats[1] += 1
    with torch.no_grad():
        both = tiny_adapter.encode(feats, vertices)
        alone = tiny_adapter.encode(feats[1:], vertices[1:])
    assert relative_error(both[1:], alone) < 1e-4
    assert both.shape == (2, tiny_adapter.config.id_tokens, tiny_adapter.config.id_width)


def test_a_missing_batch_dimension_is_added(tiny_adapter):
    feats, vertices = inputs_of(tiny_adapter)
    with torch.no_grad():
        assert torch.equal(tiny_adapter.encode(feats[0], vertices[0]), tiny_adapter.encode(feats, vertices))


def test_gradients_reach_every_live_parameter():
    adapter = make_adapter()
    adapter.encode(*inputs_of(adapter)).square().sum().backward()
    assert not [name for name, p in adapter.encoder.named_parameters() if p.grad is None]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f, v: (f[:, :-1], v), r"Face features: expected \[B, 17, 32\], got \[1, 16, 32\]"),
        (lambda f, v: (f, v[:, :-2]), r"Vertices: expected \[B, 642, 3\], got \[1, 640, 3\]"),
        (lambda f, v: (f, v * torch.nan), "Vertices: expected finite numbers"),
        (lambda f, v: (f / 0, v), "Face features: expected finite numbers"),
        (lambda f, v: (f.expand(2, -1, -1), v.expand(3, -1, -1)), "2 face features but 3 shapes"),
    ],
)
def test_bad_input_is_refused(tiny_adapter, change, message):
    with pytest.raises(ValueError, match=message):
        tiny_adapter.encode(*change(*inputs_of(tiny_adapter)))


def test_tokens_must_form_a_square():
    assert square_side(36, "tokens") == 6
    with pytest.raises(ValueError, match="square number, got 35"):
        square_side(35, "tokens")
    with pytest.raises(ValueError, match="face_tokens"):
        make_adapter(face_tokens=5)


def test_half_precision_keeps_the_tokens():
    adapter = make_adapter()
    feats, vertices = inputs_of(adapter)
    with torch.no_grad():
        exact = adapter.encode(feats, vertices)
        half = adapter.to(torch.bfloat16).encode(feats, vertices)
    assert half.dtype == torch.bfloat16
    assert relative_error(half, exact) < 0.2  # an untrained net; hosts encode in float32


def test_layers_come_from_the_operations_given():
    class Counting:
        made = []

        def __getattr__(self, name):
            Counting.made.append(name)
            return getattr(torch.nn, name)

    FaceAbstractor(make_adapter().config, Counting())
    assert {"Linear", "LayerNorm", "Conv2d"} <= set(Counting.made)
