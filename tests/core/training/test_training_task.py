"""What the denoiser sees, what it leaves out, which of its parts learn, and what that needs in memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from trainingtools import NoiseSource, make_config, make_models, write_model

from fantasyid_core.host import diffusers as diffusers_host
from fantasyid_core.pipeline import stretch
from fantasyid_core.training import memory
from fantasyid_core.training.build import build_models
from fantasyid_core.training.denoiser import Denoiser
from fantasyid_core.training.lora import lora_names
from fantasyid_core.training.objective import velocity
from fantasyid_core.training.task import Task

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"))


def prepare(tmp_path, folder, **groups):
    torch.manual_seed(0)
    config = make_config(tmp_path, folder, **groups)
    models = make_models(config)
    network = Denoiser(models.transformer, models.adapter, models.text_encoder, models.face_encoder).train()
    return config, models, network, Task(models, config, CPU)


def batch_of(indices=(0, 1), seed=0):
    return NoiseSource().batch(list(indices), np.random.default_rng(seed))


class Spy:
    """Answers with the true velocity and keeps what it saw."""

    def __init__(self, batch, alphas):
        self.clean, self.alphas = torch.from_numpy(batch.latents), alphas.float()

    def __call__(self, seen):
        self.seen = seen
        a = self.alphas[seen.times].view(-1, 1, 1, 1, 1)
        noise = (seen.noisy - a.sqrt() * self.clean) / (1 - a).sqrt()
        return velocity(self.clean, noise, self.alphas[seen.times])


def test_the_loss_is_zero_for_the_true_velocity_and_repeats_for_the_same_micro_batch(tmp_path, model):
    _, models, network, task = prepare(tmp_path, model)
    batch = batch_of()
    spy = Spy(batch, models.alphas)
    assert task.losses(spy, batch, 3).max() < 1e-6
    first, noisy = task.losses(network, batch, 3), spy.seen.noisy
    assert torch.equal(first, task.losses(network, batch, 3)) and first.shape == (2,)
    for other in ((4, 0), (3, 1)):
        task.losses(spy, batch, *other)
        assert not torch.equal(noisy, spy.seen.noisy)


@pytest.mark.parametrize("picture", ["first frame", "face", "none"])
def test_the_condition_picture_is_the_one_that_the_config_names(tmp_path, model, picture):
    condition = {"picture": picture, "noise_mean": -30.0, "dropout": 0.0}
    _, models, _, task = prepare(tmp_path, model, condition=condition)
    batch = batch_of()
    spy = Spy(batch, models.alphas)
    task.losses(spy, batch, 0)
    latents = spy.seen.picture
    assert latents.shape == spy.seen.noisy.shape and (latents[:, 1:] == 0).all()
    if picture == "none":
        assert (latents == 0).all()
        return
    pictures = batch.first if picture == "first frame" else batch.references
    pixels = torch.cat([stretch(each, 96, 64) for each in pictures])
    torch.testing.assert_close(latents[:, :1], models.codec.encode(pixels[:, :, None]), atol=2e-3, rtol=0)


def test_the_condition_picture_is_noised_and_left_out_as_configured(tmp_path, model):
    _, models, _, task = prepare(tmp_path, model, condition={"picture": "face", "noise_mean": 0.0, "dropout": 0.5})
    batch, absent, pictures = batch_of((0, 0)), 0, []
    spy = Spy(batch, models.alphas)
    for micro in range(12):
        task.losses(spy, batch, micro)
        absent += sum((row == 0).all().item() for row in spy.seen.picture)
        pictures += [row for row in spy.seen.picture if (row != 0).any()]
    assert 5 <= absent <= 19
    assert not torch.allclose(pictures[0], pictures[1], atol=1e-3)
    seen = task.sampling_inputs(batch, torch.zeros(2, 3, 16, 8, 12))
    pixels = torch.cat([stretch(each, 96, 64) for each in batch.references])
    torch.testing.assert_close(seen.picture[:, :1], models.codec.encode(pixels[:, :, None]), atol=1e-5, rtol=0)
    assert seen.keeps_identity.all() and seen.keeps_face.all() and seen.texts == batch.texts


def test_texts_are_left_out_by_their_ratio(tmp_path, model):
    _, models, _, task = prepare(tmp_path, model, identity={"null_text": 1.0})
    spy = Spy(batch_of(), models.alphas)
    task.losses(spy, batch_of(), 0)
    assert spy.seen.texts == ["", ""]
    assert task.sampling_inputs(batch_of(), torch.zeros(2, 3, 16, 8, 12)).texts == ["person 0 nods", "person 1 nods"]


def see(task, models, **changes):
    spy = Spy(batch_of(), models.alphas)
    task.losses(spy, batch_of(), 1)
    keeps = torch.ones(2, dtype=torch.bool)
    kept = {name: keeps for name in ("keeps_identity", "keeps_face", "keeps_vertices")}
    return spy.seen._replace(**{**kept, **changes})


def test_left_out_identity_is_the_model_without_anybody(tmp_path, model):
    _, models, network, task = prepare(tmp_path, model)
    seen = see(task, models, keeps_identity=torch.tensor([True, False]))
    with torch.no_grad():
        out = network(seen)
        plain = diffusers_host.load_transformer(model)(
            torch.cat([seen.noisy, seen.picture], dim=2),
            models.text_encoder(seen.texts),
            seen.times,
            image_rotary_emb=diffusers_host.rotary_table(models.sizes, CPU),
            return_dict=False,
        )[0]
    torch.testing.assert_close(out[1], plain[1], atol=1e-5, rtol=0)
    assert (out[0] - plain[0]).abs().max() > 1e-4


def test_injection_in_training_is_that_of_attach(tmp_path, model):
    _, models, network, task = prepare(tmp_path, model)
    seen = see(task, models)
    with torch.no_grad():
        out = network(seen)
        tokens = models.adapter.encode(models.face_encoder(seen.faces), seen.vertices)
        transformer = diffusers_host.load_transformer(model)
        with diffusers_host.attach(transformer, models.adapter.injector(tokens)):
            theirs = transformer(
                torch.cat([seen.noisy, seen.picture], dim=2),
                models.text_encoder(seen.texts),
                seen.times,
                image_rotary_emb=diffusers_host.rotary_table(models.sizes, CPU),
                return_dict=False,
            )[0]
    torch.testing.assert_close(out, theirs, atol=1e-5, rtol=0)


def test_a_left_out_half_says_nothing(tmp_path, model):
    _, models, network, task = prepare(tmp_path, model)
    no = torch.zeros(2, dtype=torch.bool)
    with torch.no_grad():
        for keeps, field, change in (
            ("keeps_face", "faces", lambda x: 1 - x),
            ("keeps_vertices", "vertices", lambda x: x * torch.tensor([1.0, 1.0, 1.5])),
        ):
            with_it, without = see(task, models), see(task, models, **{keeps: no})
            other = {field: change(getattr(with_it, field))}
            assert not torch.allclose(network(with_it), network(with_it._replace(**other)), atol=1e-5)
            assert torch.equal(network(without), network(without._replace(**other)))


def test_a_still_is_the_first_latent_frame_of_its_clip(tmp_path, model):
    _, models, network, task = prepare(tmp_path, model)
    batch = batch_of()
    first = replace(batch, latents=batch.latents[:, :1])
    spy = Spy(first, models.alphas)
    assert task.losses(spy, batch, 3, 0, True).max() < 1e-6
    assert spy.seen.noisy.shape[1] == spy.seen.picture.shape[1] == 1
    with torch.no_grad():
        assert network(spy.seen).shape == spy.seen.noisy.shape
    alone = diffusers_host.rotary_table(replace(models.sizes, sample_frames=1), CPU)
    for rows, expected in zip(network._rotary(spy.seen.noisy), alone, strict=True):
        assert torch.equal(rows, expected)


def test_twins_are_told_apart_by_nothing_but_their_clips(tmp_path, model):
    """Same noise, same timestep, same things left out; a model that ignores the difference pays for it."""
    data = {"twins": True, "kind": "heads", "people": 4}
    identity = {name: 0.5 for name in ("null_text", "null_identity", "null_face", "null_vertices")}
    _, models, _, task = prepare(tmp_path, model, data=data, identity=identity, optimizer={"batch": 6})
    batch = batch_of(range(6))
    spy = Spy(batch, models.alphas)
    assert task.losses(spy, batch, 3).max() < 1e-6
    for each in (spy.seen.times, spy.seen.keeps_identity, spy.seen.keeps_face, spy.seen.keeps_vertices):
        assert torch.equal(each[::2], each[1::2])
    assert [text == "" for text in spy.seen.texts[::2]] == [text == "" for text in spy.seen.texts[1::2]]
    deaf = lambda seen: spy(seen)[::2].repeat_interleave(2, dim=0)  # noqa: E731
    costs, told = task.losses(deaf, batch, 3), spy.seen.keeps_vertices & spy.seen.keeps_identity
    assert told.any() and not told.all()
    _, _, _, plain = prepare(tmp_path, model, data=data, identity=identity, optimizer={"batch": 6}, twin_weight=0)
    extra = costs - plain.losses(deaf, batch, 3)
    assert extra[~told].abs().max() < 1e-6
    alphas = models.alphas[spy.seen.times][told].float()
    torch.testing.assert_close(extra[told], 1 - alphas, rtol=0.02, atol=1e-3)


def test_an_untrained_adapter_changes_nothing(tmp_path, model):
    for variant in ("release", "paper"):
        groups = {"variant": variant} | ({"sizes": PAPER} if variant == "paper" else {})
        config = make_config(tmp_path, model, model=groups)
        models = build_models(config)
        task = Task(models, config, CPU)
        network = Denoiser(models.transformer, models.adapter, models.text_encoder, models.face_encoder)
        seen = see(task, models)
        with torch.no_grad():
            nobody = network(seen._replace(keeps_identity=torch.zeros(2, dtype=torch.bool)))
            assert torch.equal(network(seen), nobody)


PAPER = dict(
    vit_width=32, vit_tokens=17, abstractor_width=16, abstractor_depth=1, face_tokens=4, vertex_width=32,
    spiral_widths=[8, 16], fusion_layers=2, fusion_heads=2, reducer_widths=[32, 32, 64, 192], attention_heads=2,
    attention_head_dim=16,
)  # fmt: skip


@pytest.mark.parametrize("variant", ["release", "paper"])
@pytest.mark.parametrize("trains", ["adapter", "all"])
def test_gradients_reach_what_learns_and_nothing_else(tmp_path, model, variant, trains):
    groups = {"variant": variant, "trains": trains} | ({"sizes": PAPER} if variant == "paper" else {})
    _, models, network, task = prepare(tmp_path, model, model=groups)
    task.losses(network, batch_of(), 2).mean().backward()
    without = [name for name, value in network.named_parameters() if value.requires_grad and value.grad is None]
    assert without == []
    frozen = {name.split(".")[0] for name, value in network.named_parameters() if not value.requires_grad}
    assert frozen == (set() if trains == "all" else {"transformer", "text_encoder", "face_encoder"})
    assert not any(value.grad is not None for value in network.parameters() if not value.requires_grad)
    assert network.adapter.training and network.transformer.training == (trains == "all")


@pytest.mark.parametrize("variant", ["release", "paper"])
def test_gradient_checkpointing_changes_no_gradient(tmp_path, model, variant):
    found = []
    for on in (False, True):
        sizes = {"sizes": PAPER} if variant == "paper" else {}
        groups = {"variant": variant, "trains": "all", "gradient_checkpointing": on} | sizes
        _, models, network, task = prepare(tmp_path, model, model=groups)
        models.text_encoder.eval()  # dropout would draw other numbers
        assert models.transformer.is_gradient_checkpointing == on
        task.losses(network, batch_of(), 2).mean().backward()
        found.append({name: value.grad for name, value in network.named_parameters()})
    for name, value in found[0].items():
        torch.testing.assert_close(value, found[1][name], atol=1e-7, rtol=1e-4, msg=name)


def test_latents_of_another_size_are_refused(tmp_path, model):
    _, _, network, task = prepare(tmp_path, model)
    batch = NoiseSource(shape=(2, 16, 8, 12)).batch([0], np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"make latents .* \[2, 16, 8, 12\], the transformer needs \[3, 16, 8, 12\]"):
        task.losses(network, batch, 0)


def test_pictures_are_encoded_where_there_are_no_latents(tmp_path, model):
    from dataclasses import replace

    _, models, network, task = prepare(tmp_path, model, data={"latents": "each step"})
    source = NoiseSource()
    batch = replace(batch_of(), latents=None, pictures=np.stack([source.pictures(i) for i in (0, 1)]))
    assert task.losses(network, batch, 0).isfinite().all()


def test_unknown_sizes_and_missing_model_folders_are_refused(tmp_path, model):
    with pytest.raises(ValueError, match="model.sizes: face_token is no size of an adapter"):
        build_models(make_config(tmp_path, model, model={"sizes": {"face_token": 3}}))
    with pytest.raises(FileNotFoundError, match="no model folder"):
        build_models(make_config(tmp_path, tmp_path / "nowhere"))


def test_an_adapter_of_the_folder_must_be_of_the_variant(tmp_path, model):
    models = build_models(make_config(tmp_path, model, model={"adapter": "folder", "sizes": {}}))
    assert models.adapter.config.variant == "release"
    with pytest.raises(ValueError, match="variant 'release', model.variant is 'paper'"):
        build_models(make_config(tmp_path, model, model={"adapter": "folder", "variant": "paper", "sizes": {}}))


def test_lora_without_peft_says_what_to_install(tmp_path, model, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(RuntimeError, match="pip install peft"):
        build_models(make_config(tmp_path, model, model={"trains": "adapter+lora"}))


def test_lora_layers_have_names_that_the_project_reads():
    from fantasyid_core.weights.lora import read_lora

    state = {}
    for module in ("to_q", "to_out.0"):
        state[f"transformer_blocks.0.attn1.{module}.lora_A.default.weight"] = torch.randn(4, 192)
        state[f"transformer_blocks.0.attn1.{module}.lora_B.default.weight"] = torch.randn(192, 4)
    named = lora_names(state | {"transformer_blocks.0.attn1.to_q.base_layer.weight": torch.zeros(1)})
    assert "transformer.transformer_blocks.0.attn1.to_q.lora_A.weight" in named
    lora = read_lora(named, {"blocks.0.q": (192, 192), "blocks.0.attn_out": (192, 192)})
    assert sorted(layer.module for layer in lora.layers) == ["blocks.0.attn_out", "blocks.0.q"] and not lora.unused


@pytest.mark.parametrize("trains", ["adapter", "all"])
def test_memory_is_estimated_from_headers_as_it_is(tmp_path, model, trains):
    config, _, network, _ = prepare(tmp_path, model, model={"trains": trains})
    need = memory.release_need(config)
    learning = sum(value.numel() for value in network.parameters() if value.requires_grad)
    # Tables and tied weights that are no parameters stand in the files as well.
    assert need.learning == pytest.approx(learning, rel=0.02)
    assert need.gradients == need.average == 4 * need.learning and need.optimizer == 8 * need.learning
    assert need.weights == 4 * (need.learning + need.frozen)


def test_too_little_memory_is_an_error_before_anything_is_loaded(tmp_path, model, monkeypatch):
    from fantasyid_core.training import loop

    need = memory.memory_need(1_000_000_000, 5_000_000_000, 2, has_average=True)
    assert need.total == 30_000_000_000
    assert memory.memory_need(10**9, 5 * 10**9, 2, True, shards=8).total == need.total // 8
    assert memory.memory_need(10**9, 0, 2, has_average=False).total == 16 * 10**9
    memory.check_memory(need, need.total, "cuda:0")
    memory.check_memory(need, None, "cpu")
    with pytest.raises(RuntimeError, match=r"(?s)1000 M .* 27\.94 GiB .*has 9\.31 GiB free.*optimizer\.ema=0.*FSDP"):
        memory.check_memory(need, 10**10, "cuda:0")
    monkeypatch.setattr(loop, "free_memory", lambda device: 1000)
    monkeypatch.setattr(loop, "build_models", lambda config: pytest.fail("loaded"))
    with pytest.raises(RuntimeError, match="free"):
        loop.train(make_config(tmp_path, model))


def test_too_few_clips_and_shapes_of_another_mesh_are_refused(tmp_path, model):
    from fantasyid_core.training.loop import train
    from fantasyid_core.training.sources import check_vertices

    config = make_config(tmp_path, model)
    source = NoiseSource(count=1)
    with pytest.raises(ValueError, match="1 clips are fewer than one micro-batch of 2"):
        train(config, "auto", make_models(config), (source, source))
    models = make_models(config)
    object.__setattr__(models.adapter.config, "vertex_counts", (5023, 1256, 314))
    with pytest.raises(ValueError, match="shapes of 642 vertices, the adapter's mesh has 5023"):
        check_vertices(source, models)
