"""One video in two and three processes (gloo, on the CPU) is the video of one."""

from __future__ import annotations

import multiprocessing
import os
import socket

import pytest
import torch
from small import inputs_of, make_adapter, make_transformer_state

from fantasyid_core.config import TransformerConfig
from fantasyid_core.host.diffusers import attach, load_transformer
from fantasyid_core.host.diffusers.attention import attend_with
from fantasyid_core.host.diffusers.denoise import make_denoiser
from fantasyid_core.host.diffusers.parallel import ALONE, make_layout, split_sequence
from fantasyid_core.sampling import make_steps, sample

# 3 heads for three processes, 6 for two; 5 text tokens and 72 or 54 video tokens: the text divides by none of them.
SIZES = {
    heads: TransformerConfig.tiny(num_layers=2, num_attention_heads=heads, max_text_seq_length=5, sample_width=width)
    for heads, width in ((3, 12), (6, 10))
}


def networks(heads):
    sizes = SIZES[heads]
    transformer = load_transformer(make_transformer_state(sizes), vars(sizes))
    adapter = make_adapter(injected_layers=2, dit_width=sizes.width, interval=1)
    with torch.no_grad():
        return transformer, adapter.injector(adapter.encode(*inputs_of(adapter)))


def video(transformer, injector, layout=ALONE):
    sizes = SIZES[transformer.config.num_attention_heads]
    channels, frames, height, width = sizes.latent_shape
    draw = torch.Generator().manual_seed(0)
    x, picture = (torch.randn(1, frames, channels, height, width, generator=draw) for _ in range(2))
    prompts = torch.randn(2, sizes.max_text_seq_length, sizes.text_embed_dim, generator=draw)
    denoise = make_denoiser(transformer, prompts, picture, 6.0, torch.float32, layout=layout)
    attend = attend_with("native-math")  # which only what is split has: one process alone computes with PyTorch's own
    with torch.inference_mode(), attach(transformer, injector), split_sequence(transformer, layout.sequence, attend):
        return sample(denoise, x, make_steps(3), "ddim")


def take_part(rank, world, port, heads, ways, path):
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.distributed.init_process_group("gloo", rank=rank, world_size=world)
    transformer, injector = networks(heads)
    layout = make_layout(ways, heads, SIZES[heads].video_tokens, True)
    latents = video(transformer, injector, layout)
    hooks = sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in transformer.modules())
    kinds = {type(each).__name__ for each in transformer.attn_processors.values()}
    torch.save((latents, hooks, kinds), path / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def launch(world, heads, ways, path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("fork")
    parts = [context.Process(target=take_part, args=(rank, world, port, heads, ways, path)) for rank in range(world)]
    for part in parts:
        part.start()
    for part in parts:
        part.join(120)
    assert [part.exitcode for part in parts] == [0] * world
    return [torch.load(path / f"{rank}.pt", weights_only=False) for rank in range(world)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(
    ("world", "heads", "ways"), [(2, 6, "guidance"), (2, 6, "sequence"), (3, 3, "sequence"), (4, 6, "both")]
)
def test_several_processes_make_the_video_of_one(tmp_path, world, heads, ways):
    torch.set_num_threads(1)
    expected = video(*networks(heads))
    for latents, hooks, kinds in launch(world, heads, ways, tmp_path):
        assert float((latents - expected).norm() / expected.norm()) <= 1e-5
        assert hooks == 0 and kinds == {"CogVideoXAttnProcessor2_0"}


@pytest.mark.parametrize(
    ("ways", "world", "guided", "message"),
    [
        ("sequence", 5, True, "5 devices cannot share 48 heads of attention: .* such as 2, 3, 4, 6, 8, 12, 16"),
        ("both", 10, True, "5 devices cannot share 48 heads"),
        ("guidance", 3, True, "two halves: expected 2 processes"),
        ("both", 3, True, "an even number for both, got 3"),
        ("guidance", 2, False, "Guidance 1 has one half only"),
        ("pipeline", 2, True, "a way among rows, guidance, sequence, both"),
    ],
)
def test_numbers_of_devices_that_do_not_divide_the_work_are_refused(ways, world, guided, message):
    with pytest.raises(ValueError, match=message):
        make_layout(ways, 48, 17550, guided, world)
