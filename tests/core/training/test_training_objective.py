"""The loss is CogVideoX' own, and the schedule, average and draws are what their formulas say."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from fantasyid_core.sampling import alphas_cumprod
from fantasyid_core.training.config import (
    ConditionSettings,
    DataSettings,
    IdentitySettings,
    ModelSettings,
    OptimizerSettings,
    TrainingConfig,
)
from fantasyid_core.training.ema import Average
from fantasyid_core.training.objective import add_noise, draw, twin_loss, velocity, velocity_loss
from fantasyid_core.training.schedule import learning_rate

SHAPE = (4, 3, 16, 6, 5)


@pytest.fixture(scope="module", params=[1.0, 3.0])
def scheduler(request):
    from diffusers import CogVideoXDPMScheduler

    return CogVideoXDPMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        snr_shift_scale=request.param,
        timestep_spacing="trailing",
    )


def test_noise_and_velocity_are_the_schedulers_own(scheduler):
    generator = torch.Generator().manual_seed(1)
    clean, noise = (torch.randn(SHAPE, generator=generator, dtype=torch.float64) for _ in range(2))
    times = torch.tensor([0, 1, 500, 999])
    alpha = alphas_cumprod(snr_shift_scale=scheduler.config.snr_shift_scale)[times]
    # The scheduler keeps its table in float32.
    for ours, theirs in ((add_noise, scheduler.add_noise), (velocity, scheduler.get_velocity)):
        torch.testing.assert_close(ours(clean, noise, alpha), theirs(clean, noise, times), atol=2e-6, rtol=0)


def test_the_loss_is_the_official_one_by_way_of_the_clean_latent(scheduler):
    generator = torch.Generator().manual_seed(2)
    clean, noise, predicted = (torch.randn(SHAPE, generator=generator, dtype=torch.float64) for _ in range(3))
    times = torch.tensor([3, 250, 700, 999])
    noisy = scheduler.add_noise(clean, noise, times)
    estimate = scheduler.get_velocity(predicted, noisy, times)  # official trainers: x0 from the predicted v
    weight = 1 / (1 - scheduler.alphas_cumprod[times]).view(-1, 1, 1, 1, 1)
    official = (weight * (estimate - clean) ** 2).flatten(1).mean(dim=1)
    alpha = scheduler.alphas_cumprod[times].double()
    torch.testing.assert_close(velocity_loss(predicted, clean, noise, alpha), official, rtol=1e-4, atol=0)


def test_the_true_velocity_costs_nothing_and_leads_back_to_the_clean_latent():
    clean, noise = torch.randn(SHAPE), torch.randn(SHAPE)
    alpha = alphas_cumprod()[[0, 10, 990, 999]].float()
    v = velocity(clean, noise, alpha)
    assert velocity_loss(v, clean, noise, alpha).abs().max() == 0
    a = alpha.view(-1, 1, 1, 1, 1)
    back = a.sqrt() * add_noise(clean, noise, alpha) - (1 - a).sqrt() * v
    torch.testing.assert_close(back, clean, atol=1e-5, rtol=0)


def test_the_loss_of_half_precision_is_taken_in_float32():
    zeros = torch.zeros(SHAPE)
    loss = velocity_loss(zeros.bfloat16(), torch.ones(SHAPE), zeros, torch.zeros(4))
    assert loss.dtype == torch.float32 and torch.equal(loss, torch.ones(4))


def test_draws_follow_their_ratios_and_generator():
    identity = IdentitySettings(null_text=0.1, null_identity=0.0, null_face=0.3, null_vertices=1.0)
    condition = ConditionSettings(dropout=0.5)
    make = lambda seed: draw((4000, 1, 1, 1, 1), identity, condition, torch.Generator().manual_seed(seed))  # noqa: E731
    draws = make(0)
    shares = [1 - each.float().mean().item() for each in draws[3:]]
    assert shares == pytest.approx([0.5, 0.1, 0.0, 0.3, 1.0], abs=0.03)
    assert draws.times.min() < 5 and draws.times.max() > 994
    assert draws.picture_noise.log().mean().item() == pytest.approx(-3, abs=0.05)
    assert draws.picture_noise.log().std().item() == pytest.approx(0.5, abs=0.03)
    assert all(torch.equal(a, b) for a, b in zip(draws, make(0), strict=True))
    assert not torch.equal(draws.noise, make(1).noise)


def test_other_ratios_leave_the_noise_as_it_is():
    make = lambda ratio: draw(  # noqa: E731
        SHAPE, IdentitySettings(null_text=ratio), ConditionSettings(), torch.Generator().manual_seed(0)
    )
    assert torch.equal(make(0.0).noise, make(0.9).noise) and torch.equal(make(0.0).times, make(0.9).times)


def test_a_share_of_the_clips_is_where_sampling_begins():
    make = lambda share: draw(  # noqa: E731
        (4000, 1, 1, 1, 1), IdentitySettings(), ConditionSettings(), torch.Generator().manual_seed(0), share
    )
    for share in (0.0, 0.6, 1.0):
        times = make(share).times
        assert (times >= 900).float().mean().item() == pytest.approx(share + 0.1 * (1 - share), abs=0.02)
        later = times[times < 900]
        assert not len(later) or later.float().mean().item() == pytest.approx(449.5, abs=25)
    assert torch.equal(make(0.0).noise, make(0.6).noise)
    with pytest.raises(ValueError, match="early_share"):
        TrainingConfig(early_share=1.2, model=ModelSettings(kind="tiny"), data=DataSettings(kind="heads"))


def test_clips_that_stand_together_have_the_same_draws():
    make = lambda together: draw(  # noqa: E731
        (400, 1, 2, 1, 1), IdentitySettings(null_text=0.5), ConditionSettings(), torch.Generator().manual_seed(0), 0.5,
        together,
    )  # fmt: skip
    draws, alone = make(2), make(1)
    for each, other in zip(draws, alone, strict=True):
        assert each.shape == other.shape and torch.equal(each[::2], each[1::2])
    for each in (draws.times, draws.noise, draws.keeps_text):
        assert not torch.equal(each[::4], each[2::4])


def test_twins_cost_by_how_much_of_their_difference_is_missing():
    """(1-a) (1-slope)^2, and 1 - a where nothing follows; what differs too little to be seen costs less."""
    alpha = torch.tensor([0.0, 0.0, 0.36, 0.36])
    clean = torch.randn(4, 3, 16, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(2, *clean.shape[1:], dtype=torch.float64).repeat_interleave(2, dim=0)
    true = velocity(clean, noise, alpha.double())
    assert twin_loss(true, clean, alpha).max() < 1e-12
    same = true[::2].repeat_interleave(2, dim=0)
    assert twin_loss(same, clean, alpha).tolist() == pytest.approx([1, 1, 0.64, 0.64], rel=0.01)
    most = twin_loss(same.lerp(true, 0.7), clean, alpha)
    assert most.tolist() == pytest.approx([0.09, 0.09, 0.0576, 0.0576], rel=0.01)
    near = clean.clone()
    near[1::2] = near[::2] + 1e-3
    assert twin_loss(velocity(near[::2].repeat_interleave(2, 0), noise, alpha), near, alpha).max() < 1e-3
    far = float((clean[1] - clean[0]).square().mean())  # a floor as large as the difference halves the cost
    assert twin_loss(same, clean, alpha, floor=far)[:2].tolist() == pytest.approx([0.5, 0.5], rel=1e-3)
    assert twin_loss(true.bfloat16(), clean.bfloat16(), alpha).dtype == torch.float32


def test_the_learning_rate_warms_up_falls_along_a_cosine_and_restarts():
    settings = OptimizerSettings(lr=2.0, warmup=10, cycles=2, final=0.1)
    rates = [learning_rate(step, 110, settings) for step in range(110)]
    assert rates[0] == pytest.approx(0.2) and rates[9] == pytest.approx(2.0)
    assert rates[10] == rates[60] == 2.0
    assert rates[35] == pytest.approx(2 * (0.1 + 0.9 / 2))
    assert rates[59] == pytest.approx(2 * (0.1 + 0.9 * (1 + math.cos(math.pi * 49 / 50)) / 2))
    assert min(rates[10:]) >= 0.2 and rates[109] < 0.21
    assert learning_rate(110, 110, settings) == pytest.approx(0.2)
    assert learning_rate(0, 5, OptimizerSettings(lr=1.0, warmup=0)) == 1.0


def test_the_average_follows_its_formula_and_can_be_put_on_and_taken_off():
    layer = nn.Linear(2, 1, bias=False)
    frozen = nn.Linear(2, 1).requires_grad_(False)
    both = nn.ModuleList([layer, frozen])
    nn.init.zeros_(layer.weight)
    average, expected = Average(both, 0.5), 0.0
    for step in range(1, 12):
        with torch.no_grad():
            layer.weight.fill_(step)
        average.update()
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    before = frozen.weight.clone()
    with average.applied():
        torch.testing.assert_close(layer.weight, torch.full((1, 2), expected))
        assert torch.equal(frozen.weight, before)
    assert torch.equal(layer.weight, torch.full((1, 2), 11.0))


def test_the_average_is_in_float32_and_none_is_the_weights():
    layer = nn.Linear(1, 1, bias=False).bfloat16()
    with torch.no_grad():
        layer.weight.fill_(1)
    average = Average(layer, 0.9999)
    average.updates = 10**6
    with torch.no_grad():
        layer.weight.fill_(2)
    average.update()
    assert average._pairs[0][1].item() == pytest.approx(1.0001, abs=1e-6)  # bfloat16 would round it to 1
    none = Average(layer, 0.0)
    none.update()
    with none.applied():
        assert layer.weight.item() == 2
