"""Trainings that are stopped and gone on with: on portraits with a readout, and on clip pairs."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fantasyid_core.experiments import clip_pairs, train_reading
from fantasyid_core.experiments import train_sharper as train_sharper_command
from fantasyid_core.experiments.clip_pairs import LOOKS, ClipPairs, Growth, sample_pair
from fantasyid_core.experiments.package import LARGEST
from fantasyid_core.experiments.readout import GATES
from fantasyid_core.experiments.sharper_loss import (
    SharperDenoiser,
    SharperLoss,
    SharperTask,
    decoded_pixels,
    free_decoder,
    from_pure_noise,
    more_where_thin,
    more_where_twins_differ,
    pixel_errors,
)
from fantasyid_core.experiments.snapshot import grade_run, snapshot
from fantasyid_core.experiments.snapshot import main as snapshot_main
from fantasyid_core.experiments.teaching import PlainAttention, Teaching, TeachingSettings
from fantasyid_core.experiments.train_reading import (
    READOUT_FILE,
    Crowd,
    TokenReader,
    train_face,
    train_tokens,
    wider_adapter,
)
from fantasyid_core.experiments.train_sharper import CONFIG, SharperRun, train_sharper
from fantasyid_core.identity.adapter import IdentityAdapter
from fantasyid_core.people.person import sample_person, training_seeds
from fantasyid_core.sampling import TRAIN_STEPS
from fantasyid_core.tinymodel.gridface import GridFaceConfig, GridFaceEncoder
from fantasyid_core.tinymodel.loading import SHIPPED, load_vae
from fantasyid_core.tinymodel.models import TinyCodec
from fantasyid_core.tinymodel.sampler import ADAPTER_FILE, TinySampler, load_networks
from fantasyid_core.training.build import build_models
from fantasyid_core.training.config import ConditionSettings, IdentitySettings, load_config
from fantasyid_core.training.objective import draw
from fantasyid_core.weights.adapter import load_adapter

pytest.importorskip("numba", reason="drawing people needs numba: pip install numba")
QUIET = {"report": lambda line: None}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def start(cache, tmp_path_factory):
    """A packaged folder after one step of each reading."""
    folder = tmp_path_factory.mktemp("start")
    settings, crowd = TeachingSettings(steps=1, batch=2, save_every=1), Crowd(cache, 4, 30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_reading, "_FITTED", 60)
        face = train_face(folder / "face", settings, crowd, **QUIET)
        return train_tokens(folder / "tokens", face, settings, crowd, **QUIET)


@pytest.fixture(scope="module")
def source(cache):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clip_pairs, "_CHUNK", 4)
        yield ClipPairs(12, cache, TinyCodec(load_vae()), references=1, growth=Growth(4, 4, 10))


def test_plain_attention_is_attention():
    q, k, v = torch.randn(3, 2, 4, 7, 8, generator=torch.Generator().manual_seed(0))
    fused = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    with PlainAttention():
        torch.testing.assert_close(torch.nn.functional.scaled_dot_product_attention(q, k, v), fused)
        scaled = torch.nn.functional.scaled_dot_product_attention(q, k, v, scale=1.0)
        with pytest.raises(ValueError, match="without mask"):
            torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    torch.testing.assert_close(scaled, torch.nn.functional.scaled_dot_product_attention(q, k, v, scale=1.0))


def test_teaching_that_was_stopped_equals_one_that_was_not(tmp_path):
    def run(path, *stops):
        return [_taught(path, stop) for stop in stops][-1]

    whole, parts = run(tmp_path / "a", 6), run(tmp_path / "b", 2, 4, 6)
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    with pytest.raises(ValueError, match="is the state of another network"):
        Teaching(torch.nn.Linear(2, 2), TeachingSettings(), tmp_path / "a")


def _taught(path, stop: int) -> dict:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(16, 16), torch.nn.Linear(16, 16))
    teaching = Teaching(network, TeachingSettings(steps=6, batch=2, save_every=1), path, {"1.": 0.5})

    def loss(step: int) -> dict:
        data = torch.randn(4, 16, generator=torch.Generator().manual_seed(step))
        return {"loss": network(data).square().mean()}

    with suppress(InterruptedError):
        teaching.learn(loss, lambda losses: losses["loss"], _raise_at(stop), **QUIET)
    return teaching.average.state_dict()


def _raise_at(last: int):
    def look(step: int) -> None:
        if step == last < 6:
            raise InterruptedError

    return look


def test_batches_follow_from_their_number_and_pairs_are_drawn_when_they_are_needed(source):
    assert source.chosen(3, 4, 0) == source.chosen(3, 4, 0) != source.chosen(4, 4, 0)
    assert max(max(source.chosen(number, 4, 0)) for number in range(10)) < 8
    assert max(max(source.chosen(number, 4, 0)) for number in range(20, 40)) >= 16
    assert not list(source._cache.folder.glob("pictures-00002*"))
    batch = source.batch([16, 17, 0, 1], np.random.default_rng(0))
    assert list(source._cache.folder.glob("pictures-00002*"))
    codec = TinyCodec(load_vae())
    pictures = torch.from_numpy(batch.pictures[:2]).permute(0, 4, 1, 2, 3) / 127.5 - 1
    np.testing.assert_allclose(codec.encode(pictures).numpy(), batch.latents[:2], atol=0.02)
    for place in (0, 2):
        seed = training_seeds(12)[int(batch.names[place].split()[1])]
        same = np.array_equal(batch.references[place], batch.references[place + 1])
        assert same == (sample_pair(seed).kind != LOOKS)
    truth = source.looks(batch.names)
    assert truth.rest.shape == (4, 3, 32, 32) and truth.kinds.shape == (4, 3)


def test_the_error_counts_more_where_twins_differ():
    clean = torch.zeros(4, 3, 2, 8, 8)
    clean[1, :, :, :4] = 1.0  # the first pair differs in its upper half, the second not at all
    weights = more_where_twins_differ(clean, more=2.0, apart=0.5)
    assert weights.shape == (4, 3, 1, 8, 8) and torch.equal(weights[2:], torch.ones(2, 3, 1, 8, 8))
    torch.testing.assert_close(weights[0, 0, 0, 0, 0], torch.tensor(1.5))
    torch.testing.assert_close(weights[1, 0, 0, 7, 0], torch.tensor(0.5))


def test_thin_things_count_more_than_what_is_even():
    videos = torch.full((2, 3, 2, 16, 16), 0.5)
    videos[0, :, :, 8] = 0.0  # a line one pixel wide, as a frame of glasses; the second video is even
    weights = more_where_thin(videos, more=3.0, apart=0.1)
    assert weights.shape == (2, 1, 2, 16, 16) and torch.equal(weights[1], torch.ones(1, 2, 16, 16))
    torch.testing.assert_close(weights.mean((1, 2, 3, 4)), torch.ones(2))
    torch.testing.assert_close(weights[0, 0, 0, 8] / weights[0, 0, 0, 2], torch.full((16,), 4.0))


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 6), (0.6, 100, 140), (1.0, 200, 200)])
def test_pairs_begin_from_pure_noise_together(share, least, most):
    draws = draw((400, 3, 2, 4, 4), IdentitySettings(), ConditionSettings(), torch.Generator().manual_seed(0), 1.0, 2)
    pure = from_pure_noise(draws, share, torch.Generator().manual_seed(1))
    last = pure.times == TRAIN_STEPS - 1
    assert torch.equal(last[0::2], last[1::2]) and torch.equal(pure.times[~last], draws.times[~last])
    assert least <= int(last[0::2].sum()) <= most


@pytest.mark.parametrize("pure", [-0.1, 1.1, float("nan")])
def test_a_share_of_pure_noise_is_a_share(pure):
    with pytest.raises(ValueError, match="a share `pure` of the pairs from 0 to 1"):
        SharperLoss(pure=pure)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], SharperLoss(pixels_from=6)),
        (["--pixels-from", "2", "--reading-from", "3"], SharperLoss(pixels_from=2, reading_from=3)),
        (["--decoder", "0"], SharperLoss(pixels_from=6, decoder=0)),
    ],
)
def test_flags_of_the_command_reach_the_loss(flags, expected, tmp_path, monkeypatch, capsys):
    made = []
    monkeypatch.setattr(train_sharper_command, "train_sharper", lambda config, loss: made.append((config, loss)))
    assert train_sharper_command.main([str(SHIPPED), str(tmp_path), "steps=9", *flags]) == 0
    ((config, loss),) = made
    assert loss == expected and config.model.folder == str(SHIPPED) and config.output == str(tmp_path)
    assert train_sharper_command.main([str(SHIPPED), str(tmp_path), "stepps=9"]) == 2
    assert "stepps" in capsys.readouterr().err


@pytest.mark.parametrize("decoded", [0, 3])
def test_half_a_pair_of_twins_is_not_decoded(decoded):
    with pytest.raises(ValueError, match=f"an even number `decoded` from 2 on.*got {decoded}"):
        SharperLoss(decoded=decoded)


class _Perfect(torch.nn.Module):
    """A denoiser that says v for the clean latents `clean`, and notes whether its tokens were to learn."""

    def __init__(self, clean: torch.Tensor, alphas: torch.Tensor):
        super().__init__()
        self.clean, self.alphas, self.tokens_learn = clean, alphas, []

    def forward(self, seen, tokens_learn=True):
        self.tokens_learn.append(tokens_learn)
        alpha = self.alphas[seen.times].view(-1, 1, 1, 1, 1)
        return (alpha.sqrt() * seen.noisy - self.clean) / (1 - alpha).sqrt(), None


@pytest.fixture
def charged(start, source, monkeypatch):
    """What a perfect denoiser is charged under a loss, for each clip, and whether its tokens were to learn."""

    def charged(loss: SharperLoss, step: int = 0) -> tuple[torch.Tensor, bool]:
        config = load_config(CONFIG, [f"model.folder={start}", "early_share=0.5"])
        models = build_models(config)
        task = SharperTask(models, config, torch.device("cpu"), loss, source)
        monkeypatch.setattr(task, "_reading", lambda *_: 0.0)
        batch = source.batch(source.chosen(0, 8, 0), np.random.default_rng(0))
        denoiser = _Perfect(torch.from_numpy(batch.latents).float(), models.alphas.float())
        cost = task.losses(denoiser, batch, step)
        return cost, denoiser.tokens_learn[0]

    return charged


def test_who_says_v_is_charged_nothing_at_any_noise(charged):
    assert charged(SharperLoss(decoder=0))[0].abs().max() < 1e-6


def test_a_decoder_that_learns_pays_for_true_latents_too(charged):
    """So it stays the inverse of the encoder. All clips pay alike, since one number is added for the few decoded."""
    paid = charged(SharperLoss(decoder=2.0))[0]
    assert 0.02 < paid[0] < 0.3 and (paid - paid[0]).abs().max() < 1e-6
    torch.testing.assert_close(charged(SharperLoss(decoder=1.0))[0], paid / 2)


def test_decoded_pixels_are_what_the_vae_decodes_but_not_clamped():
    vae = load_vae()
    latents = 2 * torch.randn(1, 3, 32, 4, 4, generator=torch.Generator().manual_seed(0))
    decoded, clamped = decoded_pixels(vae, latents), vae.decode(latents.transpose(1, 2))
    torch.testing.assert_close(decoded.clamp(0, 1), clamped, atol=0.03, rtol=0)
    assert decoded.max() > 1.05  # wrong, and must be heard of it


def test_squared_errors_count_as_the_loss_says():
    truth, decoded = torch.zeros(2, 3, 1, 8, 8), torch.full((2, 3, 1, 8, 8), 0.1)
    torch.testing.assert_close(pixel_errors(decoded, truth, SharperLoss(squared=0)), torch.full((2,), 0.1))
    torch.testing.assert_close(pixel_errors(decoded, truth, SharperLoss(squared=5)), torch.full((2,), 0.15))
    halved = pixel_errors(decoded, truth, SharperLoss(squared=5), 0.5)
    torch.testing.assert_close(halved, torch.full((2,), 0.075))


def test_the_encoder_does_not_learn_with_the_decoder():
    vae = load_vae()
    free_decoder(vae)
    learns = {name.split(".")[0] for name, value in vae.named_parameters() if value.requires_grad}
    frozen = {name.split(".")[0] for name, value in vae.named_parameters() if not value.requires_grad}
    assert learns == {"decoder", "first_out", "group_out"} and frozen == {"encoder", "first_in", "group_in"}


def test_tokens_learn_from_the_readout_later_than_it_from_them(charged):
    assert [charged(SharperLoss(reading_from=3), step)[1] for step in (2, 3)] == [False, True]


def test_tokens_that_do_not_learn_get_no_gradient_from_the_readout(start, source):
    config = load_config(CONFIG, [f"model.folder={start}"])
    models = build_models(config)
    task = SharperTask(models, config, torch.device("cpu"), SharperLoss(), source)
    batch = source.batch(source.chosen(0, 2, 0), np.random.default_rng(0))
    network = SharperDenoiser(models.transformer, models.adapter, models.text_encoder, models.face_encoder)
    seen = task.sampling_inputs(batch, torch.randn(batch.latents.shape, generator=torch.Generator().manual_seed(0)))
    for tokens_learn in (False, True):
        network.zero_grad()
        network(seen, tokens_learn)[1].numbers.square().sum().backward()
        reached = [each.grad is not None and bool(each.grad.any()) for each in network.face_encoder.parameters()]
        assert any(reached) == tokens_learn and network.readout.gather.weight.grad.any()


def test_pixels_count_more_where_the_picture_is_thin(start, source, monkeypatch):
    config = load_config(CONFIG, [f"model.folder={start}"])
    models = build_models(config)
    batch = source.batch(source.chosen(0, 4, 0), np.random.default_rng(0))
    batch = replace(batch, pictures=np.full_like(batch.pictures, 128))
    batch.pictures[:, :, 8] = 0  # a line one pixel wide in all pictures, so that twins do not differ
    truth = torch.from_numpy(batch.pictures).permute(0, 4, 1, 2, 3).float() / 255
    monkeypatch.setattr(models.codec.vae, "raw_pictures", lambda latents: truth + 0.1 * (truth == 0))
    plain, thin = (
        SharperTask(models, config, torch.device("cpu"), SharperLoss(thin=more, gradient=0), source)
        ._pixels(torch.from_numpy(batch.latents).float(), batch)
        .sum()
        .item()
        for more in (0.0, 3.0)
    )
    assert thin > 2 * plain


def test_pixels_count_more_where_twins_differ(start, source, monkeypatch):
    config = load_config(CONFIG, [f"model.folder={start}"])
    models = build_models(config)
    batch = source.batch(source.chosen(0, 4, 0), np.random.default_rng(0))
    truth = torch.from_numpy(batch.pictures).permute(0, 4, 1, 2, 3).float() / 255  # [B,3,T,H,W]
    differs = ((truth[0::2] - truth[1::2]).abs().mean(1, keepdim=True) > 0.1).repeat_interleave(2, 0)

    def costs(wrong_there: bool) -> list[float]:
        wrong = 0.1 * (differs == wrong_there)
        monkeypatch.setattr(models.codec.vae, "raw_pictures", lambda latents: truth + wrong)
        made = []
        for more in (0.0, 4.0):  # fewer clips than the eight that are decoded
            task = SharperTask(
                models, config, torch.device("cpu"), SharperLoss(differs_in_pixels=more, gradient=0), source
            )
            made.append(task._pixels(torch.from_numpy(batch.latents).float(), batch).sum().item())
        return made

    assert differs.any()
    even, more = costs(wrong_there=True)
    assert more > 1.2 * even > 0
    even, more = costs(wrong_there=False)
    assert 0 < more < even


def test_the_wider_adapter_knows_what_the_old_one_did(start):
    old, new = load_adapter(SHIPPED / ADAPTER_FILE), load_adapter(start / ADAPTER_FILE)
    assert new.config.face_tokens == train_reading.FACE_TOKENS
    assert new.topology.fingerprint == old.topology.fingerprint
    name = "encoder.vertex_encoder.convolutions.0.layer.weight"
    assert torch.equal(new.state_dict()[name], old.state_dict()[name])
    frames = TinySampler(load_networks(start)).many(
        [(old.topology.template.numpy(), np.full((1, 64, 64, 3), 128, np.uint8), "nods, blue background", 0)]
    )
    assert frames.shape == (1, 9, 64, 64, 3)


def test_a_bent_head_is_not_led_back_to_a_drawn_one(monkeypatch):
    monkeypatch.setattr(train_reading, "_FITTED", 120)
    shipped = load_adapter(SHIPPED / ADAPTER_FILE)
    old = IdentityAdapter(replace(shipped.config, shape_components=32), shipped.topology)
    drawn = torch.from_numpy(np.stack([sample_person(seed).vertices() for seed in training_seeds(120)])).float()
    old.encoder.vertex_encoder.standardisation.fit(drawn)
    new = wider_adapter(shipped, GridFaceEncoder(GridFaceConfig(blocks=(1, 1))))
    heads = train_reading.bent_heads(2)
    lost = []
    for adapter in (old, new):
        standard = adapter.encoder.vertex_encoder.standardisation
        with torch.no_grad():
            seen = standard(heads[1:])
            whole = ((heads[1:] - standard.template) / standard.unit - standard.offset) / standard.spread
        lost.append(((seen - whole).square().sum() / whole.square().sum()).item())
    assert lost[1] < 0.5 * lost[0]


def test_a_run_that_was_stopped_equals_one_that_was_not(start, cache, tmp_path, monkeypatch):
    monkeypatch.setattr(clip_pairs, "_CHUNK", 4)
    monkeypatch.setattr(clip_pairs.Growth, "__new__", _few)
    loss = SharperLoss(pixels_from=1, decoded=2, reading_from=1)

    def run(name: str, *stops: int):
        changes = [
            f"model.folder={start}", f"output={tmp_path / name}", f"data.cache={cache}", "data.clips=16",
            "data.people=8", "data.references=1", "optimizer.batch=2", "stills=1", "checkpoints.every=1", "steps=3",
        ]  # fmt: skip
        for stop in stops:
            with monkeypatch.context() as patch:
                if stop < 3:
                    patch.setattr("fantasyid_core.training.loop.Run._report", _stop_after(stop))
                with suppress(InterruptedError):
                    train_sharper(load_config(CONFIG, [*changes, "log_every=1"]), loss)
        return load_file(tmp_path / name / "checkpoints" / "step-00000003" / "weights.safetensors")

    whole, parts = run("a", 3), run("b", 2, 3)
    assert whole.keys() == parts.keys() and any(name.startswith("readout.") for name in whole)
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert (tmp_path / "b" / "final" / ADAPTER_FILE).is_file()
    step, size = snapshot(tmp_path / "b", tmp_path / "shown")
    assert step == 3 and size < LARGEST
    shown, average = load_networks(tmp_path / "shown"), tmp_path / "b" / "checkpoints" / "step-00000003"
    expected = load_file(average / "average.safetensors")["face_encoder.layers.0.to_qkv.weight"].bfloat16().float()
    assert torch.equal(shown.small.face_encoder.layers[0].to_qkv.weight, expected)
    decoder, was = shown.small.vae.decoder, load_networks(start).small.vae.decoder
    expected = load_file(average / "average.safetensors")["vae.decoder.stem.weight"].bfloat16().float()
    assert torch.equal(decoder.stem.weight, expected) and not torch.equal(decoder.stem.weight, was.stem.weight)
    assert torch.equal(shown.small.vae.encoder.head.weight, load_vae().encoder.head.weight)
    marks = grade_run(tmp_path / "b", cache, people=30)
    assert GATES.keys() <= marks.keys() and 0 <= marks["glasses"] <= 1
    rounded = grade_run(tmp_path / "b", cache, people=30, tokens_of=tmp_path / "shown")
    assert rounded["skin"] == pytest.approx(marks["skin"], abs=0.05) and rounded != marks
    assert snapshot_main([str(tmp_path / "nowhere"), str(tmp_path / "x")]) == 2
    with pytest.raises(SystemExit, match="2"):  # nothing is graded, so it could not be heeded
        snapshot_main([str(tmp_path / "b"), str(tmp_path / "x"), "--tokens-of", str(tmp_path / "shown")])


def test_a_run_without_a_taught_readout_is_graded_in_the_numbers_of_its_people(start, cache, tmp_path, monkeypatch):
    monkeypatch.setattr(clip_pairs, "_CHUNK", 4)
    monkeypatch.setattr(clip_pairs.Growth, "__new__", _few)
    shutil.copytree(start, tmp_path / "start", ignore=shutil.ignore_patterns(READOUT_FILE))
    changes = [
        f"model.folder={tmp_path / 'start'}", f"output={tmp_path / 'run'}", f"data.cache={cache}", "data.clips=16",
        "data.people=8", "data.references=1", "optimizer.batch=2", "stills=0", "checkpoints.every=1", "steps=1",
    ]  # fmt: skip
    train_sharper(load_config(CONFIG, changes), SharperLoss(decoded=2))
    # Around the mean of its people an untaught readout is about as good as no answer, whose explained variance is 0;
    # around 0 it would be at -3 to -30.
    marks = grade_run(tmp_path / "run", cache, people=30)
    assert all(marks[name] > -2 for name in ("hair_volume", "hair_colour", "skin", "iris")), marks


_make = Growth.__new__


def _few(cls, *values, **named):
    return _make(cls, *(values or (4, 4, 100)), **named)


def _stop_after(step: int):
    def report(run, *_):
        if run.progress.step > step:
            raise InterruptedError

    return report


def test_a_run_reads_with_what_reading_has_taught(start):
    models = build_models(load_config(CONFIG, [f"model.folder={start}"]))
    taught = load_file(start / READOUT_FILE)
    run = SharperRun.__new__(SharperRun)
    run.config, run.models = load_config(CONFIG, [f"model.folder={start}"]), models
    run._loss = SharperLoss()
    own = run.make_network().readout.state_dict()
    assert own.keys() == taught.keys() and all(torch.equal(own[name], taught[name]) for name in own)


def test_a_reader_is_read_from_all_tokens(start):
    networks = load_networks(start)
    reader = TokenReader(networks.small.face_encoder, networks.adapter)
    pixels, vertices = torch.rand(2, 3, 64, 64), networks.adapter.topology.template.repeat(2, 1, 1)
    with torch.no_grad():
        read = reader(pixels, vertices)
    assert read.numbers.shape[0] == 2 and read.rest_colours.shape == (2, 64, 16, 3) and read.layers is None
