"""The sampler against diffusers' schedulers on equal noise, and on closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from golden import relative_error

from fantasyid_core.sampling import OfficialNoise, Step, alphas_cumprod, make_steps, sample

SCHEDULER = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
    "prediction_type": "v_prediction",
    "snr_shift_scale": 1.0,
    "clip_sample": False,
    "set_alpha_to_one": True,
}
SHAPE = (1, 3, 16, 4, 6)
WEIGHT = torch.randn(16, 16, generator=torch.Generator().manual_seed(5)) * 0.2


def velocity(x, t):
    return torch.tanh(torch.einsum("btchw,cd->btdhw", x, WEIGHT) + float(t) / 1000)


def denoise(x, step):
    return step.clean_from_velocity(x, velocity(x, step.timestep))


def start():
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("count", [50, 25, 10, 1])
def test_dpm_equals_diffusers_on_equal_noise(count):
    from diffusers import CogVideoXDPMScheduler

    scheduler = CogVideoXDPMScheduler(**SCHEDULER)
    scheduler.set_timesteps(count)
    x, previous, generator = start(), None, torch.Generator().manual_seed(1)
    for i, t in enumerate(scheduler.timesteps):
        before = scheduler.timesteps[i - 1] if i else None
        x, previous = scheduler.step(velocity(x, t), previous, t, before, x, generator=generator, return_dict=False)
    noise = OfficialNoise(SHAPE, torch.Generator().manual_seed(1))
    assert relative_error(sample(denoise, start(), make_steps(count), "dpm", noise), x) <= 1e-5


@pytest.mark.parametrize("count", [50, 20])
def test_ddim_equals_diffusers(count):
    from diffusers import CogVideoXDDIMScheduler

    scheduler = CogVideoXDDIMScheduler(**SCHEDULER)
    scheduler.set_timesteps(count)
    x = start()
    for t in scheduler.timesteps:
        x = scheduler.step(velocity(x, t), t, x, return_dict=False)[0]
    assert relative_error(sample(denoise, start(), make_steps(count), "ddim"), x) <= 1e-5


def test_noise_levels_equal_those_of_diffusers_with_and_without_shift():
    from diffusers import CogVideoXDPMScheduler

    for shift in (1.0, 3.0):
        scheduler = CogVideoXDPMScheduler(**{**SCHEDULER, "snr_shift_scale": shift})
        expected = scheduler.alphas_cumprod.double()
        assert torch.allclose(alphas_cumprod(snr_shift_scale=shift), expected, atol=1e-7)


def test_the_first_step_starts_from_zero_signal():
    first = make_steps(50)[0]
    assert first.alpha == 0 and first.sigma == math.inf
    x, v = torch.ones(2), torch.full((2,), 3.0)
    assert torch.equal(first.clean_from_velocity(x, v), -v)


@pytest.mark.parametrize("solver", ["dpm", "ddim"])
@pytest.mark.parametrize("count", [1, 7, 28, 50])
def test_a_perfect_denoiser_gives_its_picture(solver, count):
    # Also for counts that do not divide 1000, where diffusers' own steps end before the clean picture.
    picture = torch.randn(SHAPE, generator=torch.Generator().manual_seed(9))
    noise = OfficialNoise(SHAPE, torch.Generator().manual_seed(1))
    result = sample(lambda x, step: picture, start(), make_steps(count), solver, noise)
    assert torch.equal(result, picture)


def test_each_step_begins_where_the_one_before_ends():
    steps = make_steps(30)
    assert [step.next_alpha for step in steps[:-1]] == [step.alpha for step in steps[1:]]
    assert steps[0].timestep == 999 and steps[-1].next_alpha == 1


def test_progress_is_told_after_every_step_and_can_stop():
    seen = []

    def stop_at_third(index, x, clean):
        seen.append(index)
        if index == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample(denoise, start(), make_steps(10), "ddim", on_step=stop_at_third)
    assert seen == [0, 1, 2]


@pytest.mark.parametrize("count", [0, -1, 1001])
def test_impossible_step_counts_are_refused(count):
    with pytest.raises(ValueError, match=f"Expected 1 to 1000 sampling steps, got {count}"):
        make_steps(count)


@pytest.mark.parametrize("solver", ["dpm", "ddim"])
@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_numbers_that_are_not_finite_end_the_run_in_their_step(solver, number):
    steps, calls = make_steps(4), []

    def denoise(x, step):
        calls.append(step.index)
        return x if step.index < 2 else torch.full_like(x, number)

    noise = torch.zeros(1, 1, 2, 2, 2)
    with pytest.raises(RuntimeError, match="In step 3 of 4 the model gave numbers that are not finite.*bf16 or fp32"):
        sample(denoise, noise, steps, solver, lambda index: noise)
    assert calls == [0, 1, 2]


def test_unknown_solvers_are_refused():
    with pytest.raises(ValueError, match="dpm, ddim, got 'euler'"):
        sample(denoise, start(), make_steps(2), "euler")
    with pytest.raises(ValueError, match="draw_noise"):
        sample(denoise, start(), make_steps(2), "dpm")


def test_sigma_is_noise_over_signal():
    assert Step(0, 0, 0.5, 0.8).sigma == pytest.approx(1)
    assert Step(0, 0, 0.5, 0.8).next_sigma == pytest.approx(0.5)
