"""The paper variant in both hosts: the same numbers, nothing when untrained, gradients, nodes, identity files."""

# ruff: noqa: F811 (fixtures of another file)
from __future__ import annotations

import pytest
import torch
from golden import relative_error
from paperadapter import heads, trained_adapter, untrained_adapter
from small import inputs_of, make_transformer_state
from test_attachment import (  # noqa: F401 (fixtures)
    CONDITIONING,
    CONFIG,
    NOISE,
    SIZES,
    comfy_host,
    model,
    resident,
    run,
)
from test_parity import velocity

from fantasyid_core.config import AdapterConfig
from fantasyid_core.host import diffusers as diffusers_host
from fantasyid_core.identity.adapter import IdentityAdapter
from fantasyid_core.shape import load_topology, synthetic_topology
from fantasyid_core.weights.adapter import save_adapter

SWITCHES = [{}, {"use_face": False}, {"use_vertices": False}, {"shared_injection": True}]
TIMESTEP = 500


@pytest.fixture(scope="module")
def transformer():
    return diffusers_host.load_transformer(make_transformer_state(SIZES), config=CONFIG)


@pytest.fixture(scope="module")
def inputs():
    """What both hosts' transformers read: latents with picture [B, C, T, H, W], text."""
    generator = torch.Generator().manual_seed(5)
    channels, frames, height, width = SIZES.latent_shape
    x = torch.randn(2, SIZES.in_channels, frames, height, width, generator=generator)
    return x, torch.randn(2, 16, SIZES.text_embed_dim, generator=generator)


def make_tokens(adapter, seed=0):
    with torch.no_grad():
        return adapter.encode(inputs_of(adapter)[0], heads(1, seed))


def in_diffusers(transformer, inputs, *injectors):
    x, text = inputs
    with diffusers_host.attach(transformer, *injectors):
        return transformer(
            x.transpose(1, 2), text, torch.full((len(x),), TIMESTEP),
            image_rotary_emb=diffusers_host.rotary_table(SIZES, "cpu"), return_dict=False,
        )[0]  # fmt: skip


def in_comfy(patched, inputs):
    with torch.inference_mode():
        return velocity(patched, *inputs, TIMESTEP).transpose(1, 2)


@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_both_hosts_compute_the_same(comfy_host, model, transformer, inputs, switches):
    adapter = trained_adapter(**switches)
    tokens = make_tokens(adapter)
    with torch.no_grad():
        plain = in_diffusers(transformer, inputs)
        expected = in_diffusers(transformer, inputs, adapter.injector(tokens, 0.8, [1.0, -0.5]))
    got = in_comfy(comfy_host.attach(model, adapter, tokens, 0.8, layer_weights=[1.0, -0.5]), inputs)
    assert relative_error(in_comfy(model, inputs), plain) <= 1e-5
    assert relative_error(got, expected) <= 1e-5 and relative_error(expected, plain) > 1e-2


def test_several_people_compute_the_same(comfy_host, model, transformer, inputs):
    adapter = trained_adapter()
    people = [make_tokens(adapter, seed) for seed in (0, 1)]
    patched = model
    for tokens, strength in zip(people, (1.0, 0.5), strict=True):
        patched = comfy_host.attach(patched, adapter, tokens, strength)
    with torch.no_grad():
        injectors = [adapter.injector(tokens, strength) for tokens, strength in zip(people, (1.0, 0.5), strict=True)]
        expected = in_diffusers(transformer, inputs, *injectors)
    assert relative_error(in_comfy(patched, inputs), expected) <= 1e-5


def test_an_untrained_adapter_is_the_plain_model_to_the_bit(comfy_host, model, transformer, inputs, run):
    adapter = untrained_adapter()
    tokens = make_tokens(adapter)
    assert torch.equal(run(comfy_host.attach(model, adapter, tokens)), run(model))
    with torch.no_grad():
        plain = in_diffusers(transformer, inputs)
        assert torch.equal(in_diffusers(transformer, inputs, adapter.injector(tokens)), plain)


def test_settings_work_as_the_releases_do(comfy_host, model, run):
    adapter = trained_adapter()
    tokens = make_tokens(adapter)
    attach = comfy_host.attach
    whole = run(attach(model, adapter, tokens))
    assert relative_error(whole, run(model)) > 1e-3
    assert torch.equal(run(attach(model, adapter, tokens, strength=0.0)), run(model))
    assert torch.equal(run(attach(model, adapter, tokens, start_percent=1.0)), run(model))
    assert relative_error(run(attach(model, adapter, tokens, mask=torch.ones(8, 12))), whole) < 1e-5
    assert torch.equal(run(attach(model, adapter, tokens, mask=torch.zeros(8, 12))), run(model))
    assert relative_error(run(attach(model, adapter, tokens, memory_budget=1)), whole) < 1e-5
    for changed in ({"face_weight": 0.0}, {"shape_weight": 0.0}, {"identity_guidance": 2.0}, {"strength": 0.5}):
        assert relative_error(run(attach(model, adapter, tokens, **changed)), whole) > 1e-4, changed
    patched = attach(model, adapter, tokens)
    run(patched)
    assert resident(patched) == []


def test_eight_bit_weights_work(comfy_host, model, run, tmp_path):
    from fantasyid_core import load_adapter

    original = trained_adapter()
    path = save_adapter(original, tmp_path / "a.safetensors")
    tokens = make_tokens(original)
    whole, plain = run(comfy_host.attach(model, original, tokens)), run(model)
    small = load_adapter(path, dtype=torch.float8_e4m3fn)
    assert {value.dtype for value in small.parameters()} == {torch.float8_e4m3fn}
    got = run(comfy_host.attach(model, small, tokens))
    assert (got - whole).norm() < 0.3 * (whole - plain).norm()


def test_a_model_of_another_grid_is_refused_before_sampling(comfy_host, model, transformer, run):
    adapter = trained_adapter(grid=(6, 4))
    tokens = make_tokens(adapter)
    with pytest.raises(ValueError, match="latent frames of 6x4 video tokens, this model's have 4x6"):
        comfy_host.attach(model, adapter, tokens)
    with pytest.raises(ValueError, match="latent frames of 6x4 video tokens"):
        diffusers_host.attach(transformer, adapter.injector(tokens))
    assert not any(block._forward_hooks for block in transformer.transformer_blocks)


@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_gradients_reach_the_adapter_through_the_transformer(inputs, switches):
    adapter = untrained_adapter(**switches)
    for layer in adapter.layers:
        torch.nn.init.normal_(layer.to_out.weight, std=0.1)
    grads = []
    for checkpointing in (False, True):
        transformer = diffusers_host.load_transformer(make_transformer_state(SIZES), config=CONFIG)
        if checkpointing:
            transformer.train().enable_gradient_checkpointing()
        adapter.zero_grad()
        feats = inputs_of(adapter)[0].expand(2, -1, -1)
        tokens = adapter.encode(feats, heads(2))
        with diffusers_host.attach(transformer, adapter.injector(tokens)):  # recomputing needs it until the end
            in_diffusers(transformer, inputs).square().mean().backward()
        named = dict(adapter.named_parameters())
        assert not [name for name, value in named.items() if value.grad is None or not value.grad.any()]
        assert not [name for name, value in transformer.named_parameters() if value.grad is not None]
        grads.append(torch.cat([value.grad.flatten() for value in named.values()]))
    assert relative_error(grads[1], grads[0]) < 1e-4


@pytest.fixture
def execute(host, pack):
    def execute(name: str, **inputs):
        with torch.inference_mode():
            return host.node_classes[f"FantasyID_{name}"].execute(**inputs).result

    return execute


def test_nodes_and_identity_files_take_the_paper_variant(portraits, host, small_host_models, execute):
    topology = load_topology(portraits("topology.safetensors"))
    config = AdapterConfig.paper_tiny(vertex_counts=topology.vertex_counts)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        original = IdentityAdapter(config, topology)
        for layer in original.layers:
            torch.nn.init.normal_(layer.to_out.weight, std=0.1)
    save_adapter(original, host.models_dir / "fantasyid" / "paper.safetensors")
    model, release, *_ = execute("LoadModel", model="FantasyID", dtype="fp32")
    (adapter,) = execute("LoadAdapter", adapter="paper.safetensors", dtype="fp32")
    assert adapter.config.variant == "paper" and release.config.variant == "release"
    (encoder,) = execute("LoadFaceEncoder", encoder="eva.safetensors", dtype="fp32")
    (shape,) = execute("LoadShape", shape="face.ply")
    noise = torch.rand(1, 96, 80, 3, generator=torch.Generator().manual_seed(0))
    face = execute("CropFace", image=noise, detector="none", which_face="largest", number=0, padding=0.0)[0]
    identity, _ = execute("EncodeIdentity", adapter=adapter, encoder=encoder, face=face, shape=shape)
    assert identity.tokens.shape == (1, 314 + 4, 192)
    before = set(host.output_dir.rglob("*.safetensors"))
    execute("SaveIdentity", identity=identity, filename_prefix="people/paper")
    (path,) = set(host.output_dir.rglob("*.safetensors")) - before
    name = f"{path.relative_to(host.output_dir).as_posix()} [output]"
    again, _ = execute("LoadIdentity", file=name, adapter=adapter)
    assert torch.equal(again.tokens, identity.tokens)
    with pytest.raises(ValueError, match="was made with the adapter"):
        execute("LoadIdentity", file=name, adapter=release)

    text = [[torch.zeros(1, 226, 64), {"concat_latent_image": torch.zeros(1, 16, 1, 8, 12)}]]
    latent = {"samples": torch.zeros(1, 16, 3, 8, 12)}
    settings = {"positive": text, "negative": text, "latent": latent, "seed": 1, "steps": 2, "cfg": 6.0}
    videos = []
    for person in (None, identity, again):
        patched = model
        if person is not None:
            (patched,) = execute("ApplyIdentity", model=model, adapter=adapter, identity=person, strength=1.0)
        videos.append(execute("Sampler", model=patched, solver="ddim", **settings)[0]["samples"])
    assert torch.equal(videos[1], videos[2]) and relative_error(videos[1], videos[0]) > 1e-3


def test_a_mesh_of_flames_size_reuses_its_own_spirals_and_pooling(portraits):
    topology = load_topology(portraits("topology.safetensors"))
    encoder = IdentityAdapter(AdapterConfig.paper_tiny(vertex_counts=(5023, 1256, 314)), topology).encoder
    assert [each.spirals.shape[0] for each in encoder.vertex_encoder.convolutions] == [5023, 1256]
    assert encoder.vertex_encoder.convolutions[0].spirals is topology.spirals[0]
    assert synthetic_topology().vertex_counts != topology.vertex_counts
