"""The face encoder against timm's and open_clip's full models, its files, and what bad input gets."""

from __future__ import annotations

import json
import os
import pickle
import random
import re
import time

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch.nn import functional as F

from fantasyid_core.face import encoder as module
from fantasyid_core.face.encoder import (
    OFFICIAL_FILE,
    FaceEncoder,
    load_face_encoder,
    prepare_pixels,
    save_face_encoder,
    tiny_face_encoder,
)
from fantasyid_core.face.eva import EvaConfig

SMALL = EvaConfig(
    name="small", image_size=56, patch_size=14, width=64, depth=2, heads=2, hidden=170, rope_grid=3
)


def relative(value: torch.Tensor, reference: torch.Tensor) -> float:
    return ((value - reference).norm() / reference.norm()).item()


def unsettle(model: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Moves norms and biases off 1 and 0, so that none of them could be left out unnoticed."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return model.eval()


def faces(count: int = 1, size: int = 512) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(5))


# ---------------------------------------------------------------- the full-size tower


@pytest.fixture(scope="module")
def full():
    """The image tower of open_clip's EVA02-L-14-336 with random weights; its `trunk` is timm's model."""
    open_clip = pytest.importorskip("open_clip", reason="open_clip_torch is the encoder's reference")
    torch.manual_seed(0)
    return unsettle(open_clip.create_model("EVA02-L-14-336", pretrained=None).visual, seed=1)


@pytest.fixture(scope="module")
def cut(full):
    """Our encoder with the same weights, shared in memory where the shapes allow it."""
    with torch.device("meta"):
        encoder = FaceEncoder()
    weights = full.trunk.state_dict()
    encoder.trunk.load_published_state((name, weights[name]) for name in encoder.trunk.published_state())
    return encoder


@pytest.fixture(scope="module")
def runs(full, cut):
    """Two runs of each in turn -> features of each, seconds of each.

    One thread and its own clock, so that a busy machine does not decide.
    """
    caught, seconds, threads = {}, {"full": [], "cut": []}, torch.get_num_threads()
    hook = full.trunk.blocks[19].register_forward_hook(lambda block, inputs, out: caught.update(full=out))
    torch.set_num_threads(1)
    try:
        for _ in range(2):
            with torch.inference_mode():
                start = time.thread_time()
                full(prepare_pixels(faces(), 336))
                middle = time.thread_time()
                caught["cut"] = cut.encode(faces())
            seconds["full"].append(middle - start)
            seconds["cut"].append(time.thread_time() - middle)
    finally:
        hook.remove()
        torch.set_num_threads(threads)
    return caught, seconds


def test_features_equal_the_full_model(cut, runs):
    feats = runs[0]
    assert feats["cut"].shape == (1, 577, 1024) == (1, cut.tokens, cut.width)
    assert relative(feats["cut"], feats["full"]) <= 1e-6


def test_it_takes_at_most_84_percent_of_the_full_time(runs):
    seconds = runs[1]
    assert min(seconds["cut"]) <= 0.84 * min(seconds["full"]), seconds  # measured: about 75 %


def test_only_twenty_blocks_exist(full, cut):
    assert (cut.name, cut.image_size, len(cut.trunk.blocks)) == ("EVA02-CLIP-L-14-336", 336, 20)
    stem = ("cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias")
    kept = {
        name: tensor.shape
        for name, tensor in full.trunk.state_dict().items()
        if name in stem or re.match(r"blocks\.1?\d\.", name)
    }
    assert {name: tensor.shape for name, tensor in cut.trunk.published_state().items()} == kept
    live = sum(shape.numel() for shape in kept.values())
    padding = 20 * 2 * (2736 - 2730) * (1024 + 1)
    assert sum(parameter.numel() for parameter in cut.parameters()) == live + padding


# ---------------------------------------------------------------- a small tower, and its files


@pytest.fixture(scope="module")
def small():
    """A timm model with everything EVA02-CLIP has, one block deeper than SMALL."""
    eva = pytest.importorskip("timm.models.eva", reason="timm is the reference of the face encoder")
    torch.manual_seed(2)
    model = eva.Eva(
        img_size=56, patch_size=14, num_classes=8, global_pool="token", embed_dim=64, depth=3, num_heads=2,
        qkv_fused=False, mlp_ratio=4 * 2 / 3, swiglu_mlp=True, scale_mlp=True, scale_attn_inner=True,
        use_rot_pos_emb=True, ref_feat_shape=(3, 3),
    )  # fmt: skip
    return unsettle(model, seed=3)


@pytest.fixture(scope="module")
def wanted(small):
    with torch.no_grad():
        found = small.forward_intermediates(
            prepare_pixels(faces(2, 80), 56), indices=[1], return_prefix_tokens=True, output_fmt="NLC",
            intermediates_only=True,
        )  # fmt: skip
    patches, prefix = found[0]
    return torch.cat([prefix, patches], dim=1)


def official_state(small) -> dict[str, torch.Tensor]:
    """The weights under the names of EVA-CLIP's own code, with the rest of such a file around them."""
    state = {"logit_scale": torch.ones(()), "text.token_embedding.weight": torch.zeros(9, 4)}
    table = {
        r"(attn)\.norm\.": r"\1.inner_attn_ln.",
        r"(mlp)\.norm\.": r"\1.ffn_ln.",
        r"([qv])_proj\.bias": r"\1_bias",
        r"fc1_g": "w1",
        r"fc1_x": "w2",
        r"fc2": "w3",
    }
    for name, tensor in small.state_dict().items():
        for ours, official in table.items():
            name = re.sub(ours, official, name)
        state["visual." + name] = tensor
    for place in ("visual.rope", "visual.blocks.0.attn.rope", "visual.blocks.2.attn.rope"):
        state[place + ".freqs_cos"] = torch.zeros(16, 32)
    return state


LAYOUTS = ["official", "official_in_module", "official_wrapped", "open_clip", "open_clip_in_module", "timm"]


def layouts(small) -> dict[str, dict]:
    official, timm = official_state(small), small.state_dict()
    text = {"text.token_embedding.weight": torch.zeros(9, 4)}
    return {
        "official": official,
        "official_in_module": {f"module.{name}": tensor for name, tensor in official.items()},
        "open_clip_in_module": {f"module.visual.trunk.{name}": tensor for name, tensor in timm.items()},
        "official_wrapped": {"epoch": 3, "state_dict": official},
        "open_clip": {f"visual.trunk.{name}": tensor for name, tensor in timm.items()} | text,
        "timm": dict(timm),
    }


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", [".pt", ".legacy.bin", ".safetensors"])
def test_every_published_naming_gives_the_same_features(small, wanted, tmp_path, layout, kind):
    state, path = layouts(small)[layout], tmp_path / f"encoder{kind}"
    if kind == ".safetensors":
        save_file(state.get("state_dict", state), path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == ".pt")
    feats = load_face_encoder(path, config=SMALL).encode(faces(2, 80))
    assert relative(feats, wanted) <= 1e-6


def test_the_official_names_are_those_of_timms_own_filter(small):
    from timm.models.eva import checkpoint_filter_fn

    mapped = checkpoint_filter_fn(official_state(small), small)
    assert mapped.keys() == small.state_dict().keys()


def test_every_kept_weight_matters(small, wanted, tmp_path):
    feats = {}
    for name in load_small(small, tmp_path).trunk.published_state():
        state = {key: value.clone() for key, value in small.state_dict().items()}
        state[name] += 0.5 * torch.randn(state[name].shape, generator=torch.Generator().manual_seed(9))
        path = tmp_path / "changed.pt"
        torch.save(state, path)
        feats[name] = relative(load_face_encoder(path, config=SMALL).encode(faces(2, 80)), wanted)
    assert min(feats.values()) > 1e-4, min(feats, key=feats.get)


def load_small(small, folder):
    torch.save(small.state_dict(), folder / "small.pt")
    return load_face_encoder(folder / "small.pt", config=SMALL)


def test_unused_tensors_are_never_read(small, tmp_path, monkeypatch):
    read = []
    original = module._SafetensorsFile.__getitem__
    monkeypatch.setattr(
        module._SafetensorsFile, "__getitem__", lambda self, name: read.append(name) or original(self, name)
    )
    save_file(official_state(small), tmp_path / "encoder.safetensors")
    encoder = load_face_encoder(tmp_path / "encoder.safetensors", config=SMALL)
    assert len(set(read)) == len(encoder.trunk.published_state())
    assert not any(re.search(r"text|blocks\.2|head|rope|visual\.norm|logit", name) for name in read)


def test_pickles_are_mapped_and_restricted(small, tmp_path, monkeypatch):
    calls, original = [], torch.load
    monkeypatch.setattr(torch, "load", lambda path, **how: calls.append(how) or original(path, **how))
    load_small(small, tmp_path)
    assert calls == [{"map_location": "cpu", "weights_only": True, "mmap": True}]


def test_the_encoder_outlives_its_file(small, wanted, tmp_path):
    encoder = load_small(small, tmp_path)
    path = tmp_path / "small.pt"
    with path.open("r+b") as file:  # in place: a mapped tensor would change
        file.write(b"\xff" * path.stat().st_size)
    assert relative(encoder.encode(faces(2, 80)), wanted) <= 1e-6


def test_saving_and_loading_keeps_every_bit(tmp_path):
    encoder = tiny_face_encoder(seed=4, width=96, image_size=84, depth=3)
    save_face_encoder(encoder, tmp_path / "tiny.safetensors")
    loaded = load_face_encoder(tmp_path / "tiny.safetensors")
    assert loaded.config == encoder.config
    assert torch.equal(loaded.encode(faces()), encoder.encode(faces()))
    assert os.listdir(tmp_path) == ["tiny.safetensors"]


def test_a_tiny_encoder_depends_on_its_seed_alone():
    torch.manual_seed(11)
    before = torch.get_rng_state()
    first, again, other = tiny_face_encoder(1), tiny_face_encoder(1), tiny_face_encoder(2)
    assert torch.equal(first.encode(faces()), again.encode(faces()))
    assert relative(other.encode(faces()), first.encode(faces())) > 0.1
    assert torch.equal(torch.get_rng_state(), before)
    feats = tiny_face_encoder(width=64, image_size=336).encode(faces(2))
    assert feats.shape == (2, 577, 64) and feats.std() > 0.1


@pytest.mark.parametrize("dtype, bound", [(torch.bfloat16, 0.03), (torch.float16, 0.004)])
def test_half_precision_weights(small, wanted, tmp_path, dtype, bound):
    torch.save({name: tensor.half() for name, tensor in small.state_dict().items()}, tmp_path / "half.pt")
    encoder = load_face_encoder(tmp_path / "half.pt", dtype, SMALL)
    feats = encoder.encode(faces(2, 80))
    assert {tensor.dtype for tensor in (*encoder.parameters(), *encoder.buffers(), feats)} == {dtype}
    assert relative(feats.float(), wanted) < bound


def test_gradients_reach_the_picture_and_the_weights():
    encoder, pixels = tiny_face_encoder(), faces().requires_grad_()
    encoder(pixels).square().sum().backward()
    assert pixels.grad.abs().sum() > 0
    assert all(parameter.grad is not None for parameter in encoder.parameters())


# ---------------------------------------------------------------- pixels


@pytest.mark.parametrize("size", [512, 336, 224, 1000])
def test_pixels_are_prepared_as_the_official_pipeline_does(size):
    transforms = pytest.importorskip("torchvision.transforms.functional")
    from timm.data import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

    pixels = (faces(size=size) > 0.5).float()  # hard edges overshoot, and the overshoot must stay
    resized = transforms.resize(pixels, 336, transforms.InterpolationMode.BICUBIC)
    wanted = transforms.normalize(resized, OPENAI_CLIP_MEAN, OPENAI_CLIP_STD)
    assert torch.equal(prepare_pixels(pixels, 336), wanted)
    assert torch.equal(prepare_pixels(pixels, 336, torch.bfloat16), wanted.bfloat16())


@pytest.mark.parametrize(
    "pixels, said",
    [
        (torch.zeros(1, 4, 8, 8), r"\[B, 3, S, S\], got \[1, 4, 8, 8\].*alpha"),
        (torch.zeros(1, 1, 8, 8), r"got \[1, 1, 8, 8\]"),
        (torch.zeros(3, 8, 8), r"got \[3, 8, 8\]"),
        (torch.zeros(1, 3, 8, 9), r"square.*got \[1, 3, 8, 9\]"),
        (torch.zeros(0, 3, 8, 8), r"got \[0, 3, 8, 8\]"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "floats in 0..1, got torch.uint8.*255"),
        (torch.full((1, 3, 8, 8), 255.0), "values in 0..1, got 255..255"),
        (torch.full((1, 3, 8, 8), -1.0), "values in 0..1, got -1..-1"),
        (torch.full((1, 3, 8, 8), torch.nan), "values in 0..1, got nan"),
    ],
)
def test_other_pictures_are_refused(pixels, said):
    with pytest.raises(ValueError, match=said):
        tiny_face_encoder().encode(pixels)


def test_a_one_pixel_picture_and_overshoot_are_fine():
    assert tiny_face_encoder().encode(torch.full((1, 3, 1, 1), 1.05)).isfinite().all()


# ---------------------------------------------------------------- bad files


def refused(path, said: str, config: EvaConfig | None = SMALL, error=ValueError) -> str:
    with pytest.raises(error, match=said) as caught:
        load_face_encoder(path, config=config)
    assert str(path) in str(caught.value) and OFFICIAL_FILE in str(caught.value)
    return str(caught.value)


def test_a_missing_file_says_where_it_comes_from(tmp_path):
    said = refused(tmp_path / "absent.pt", "no such file", error=FileNotFoundError)
    assert all(part in said for part in ("QuanSun/EVA-CLIP", "MIT", "models/clip_vision", "face_encoder"))
    refused(tmp_path, "got a folder", error=FileNotFoundError)


@pytest.mark.parametrize(
    "names, guess",
    [
        (["visual.conv1.weight", "visual.transformer.resblocks.0.ln_1.bias"], "a CLIP model without EVA"),
        (["vision_model.embeddings.class_embedding"], "a CLIP model without EVA"),
        (["encoder.down_blocks.0.conv.weight", "decoder.up_blocks.0.conv.weight"], "a VAE"),
        (["transformer_blocks.0.attn1.to_q.lora_A.weight"], "a LoRA"),
        (["transformer_blocks.0.attn1.to_q.weight"], "a video model"),
        (["cls_token", "pos_embed", "norm.weight"], "got"),
        ([], "0 tensors"),
    ],
)
@pytest.mark.parametrize("kind", [".pt", ".safetensors"])
def test_other_models_are_refused(tmp_path, names, guess, kind):
    path, state = tmp_path / f"other{kind}", {name: torch.zeros(2) for name in names}
    if kind == ".pt":
        torch.save(state, path)
    else:
        save_file(state, path)
    said = refused(path, "Expected the image tower of EVA02-CLIP-L-14-336")
    assert guess in said and all(name in said for name in names)


def test_a_plain_timm_vit_is_refused(tmp_path):
    timm = pytest.importorskip("timm")
    vit = timm.create_model("vit_tiny_patch16_224", img_size=56, patch_size=14, depth=2)
    torch.save(vit.state_dict(), tmp_path / "vit.pt")
    refused(tmp_path / "vit.pt", r"missing: blocks\.0\.attn\.q_proj\.weight")


def test_missing_and_unexpected_parameters_are_named(small, tmp_path):
    state, path = official_state(small), tmp_path / "odd.pt"
    fewer = {name: tensor for name, tensor in state.items() if ".blocks.1." not in name}
    torch.save(fewer, path)
    said = refused(path, r"got 21 missing: blocks\.1\.norm1\.weight, ")
    assert said.count("blocks.1.") == 5
    torch.save(state | {"visual.blocks.0.attn.qkv.weight_scale": torch.ones(1)}, path)
    refused(path, r"got 1 unexpected: blocks\.0\.attn\.qkv\.weight_scale")


@pytest.mark.parametrize(
    "name, tensor, said",
    [
        ("pos_embed", torch.zeros(1, 257, 64), r"pos_embed \[1, 257, 64\].*instead of \[1, 17, 64\]"),
        ("blocks.1.mlp.w1.weight", torch.zeros(176, 64), r"w1\.weight \[176, 64\].*of \[170, 64\]"),
        ("cls_token", torch.zeros(1, 1, 64, dtype=torch.int8), r"cls_token .* torch\.int8 instead"),
    ],
)
def test_wrong_shapes_are_named(small, tmp_path, name, tensor, said):
    torch.save(official_state(small) | {f"visual.{name}": tensor}, tmp_path / "shape.pt")
    refused(tmp_path / "shape.pt", said)


def test_a_smaller_eva_is_not_taken_for_the_official_one(small, tmp_path):
    torch.save(official_state(small), tmp_path / "small.pt")
    refused(tmp_path / "small.pt", "Expected the parameters of EVA02-CLIP-L-14-336", config=None)


def test_damaged_values_are_refused(small, tmp_path):
    state = official_state(small)
    state["visual.blocks.1.norm1.weight"] = torch.full((64,), torch.inf)
    torch.save(state, tmp_path / "inf.pt")
    refused(tmp_path / "inf.pt", r"NaN or infinite values in visual\.blocks\.1\.norm1\.weight")


@pytest.mark.parametrize("kind", [".pt", ".legacy.pt", ".safetensors"])
@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.999])
def test_truncated_files_are_refused(small, tmp_path, kind, kept):
    path = tmp_path / f"cut{kind}"
    if kind == ".safetensors":
        save_file(official_state(small), path)
    else:
        torch.save(official_state(small), path, _use_new_zipfile_serialization=kind == ".pt")
    os.truncate(path, int(path.stat().st_size * kept))
    refused(path, "truncated or damaged|damaged or not a weights file")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("zipped", [True, False])
def test_changed_bytes_never_end_in_a_foreign_error(tmp_path, zipped):
    path, chance = tmp_path / "noise.pt", random.Random(0)
    torch.save({"visual.cls_token": torch.zeros(4)}, path, _use_new_zipfile_serialization=zipped)
    good = path.read_bytes()
    for _ in range(300):
        noisy = bytearray(good)
        for _ in range(chance.choice((1, 3, 20))):
            noisy[chance.randrange(len(noisy))] = chance.randrange(256)
        path.write_bytes(noisy)
        refused(path, "Expected")


@pytest.mark.parametrize("content", [b"<html>404</html>", b"version https://git-lfs.github.com/", bytes(999)])
@pytest.mark.parametrize("kind", [".pt", ".bin", ".safetensors"])
def test_text_and_noise_are_refused(tmp_path, content, kind):
    path = tmp_path / f"page{kind}"
    path.write_bytes(content)
    refused(path, "truncated or damaged|damaged or not a weights file")


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


@pytest.mark.parametrize("write", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value, 2))])
def test_code_in_a_pickle_is_refused_and_not_run(tmp_path, monkeypatch, write):
    monkeypatch.chdir(tmp_path)
    write({"visual.cls_token": Bomb()}, tmp_path / "bomb.pt")
    refused(tmp_path / "bomb.pt", r"wants to run code when it is opened \(\w+\.mkdir\); this was refused")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_a_torchscript_archive_is_refused(tmp_path):
    torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(tmp_path / "clip.pt")
    refused(tmp_path / "clip.pt", "TorchScript program .such as OpenAI's CLIP")


def test_a_list_is_refused(tmp_path):
    torch.save([torch.zeros(2)], tmp_path / "list.pt")
    refused(tmp_path / "list.pt", "named tensors, got .* with a list")


@pytest.mark.parametrize(
    "metadata, said",
    [
        ("{", "unreadable metadata"),
        ("[]", "unreadable metadata"),
        ('{"width": 64}', "unreadable metadata"),
        ('{"kind": "adapter"}', "kind 'face_encoder', got .* of kind 'adapter'"),
        ('{"kind": "face_encoder", "colour": 3}', "got .*colour"),
        ('{"kind": "face_encoder", "width": 10}', "multiple of"),
        ('{"kind": "face_encoder", "depth": 0}', "positive whole numbers"),
    ],
)
def test_other_files_of_ours_are_refused(tmp_path, metadata, said):
    save_file({"cls_token": torch.zeros(1)}, tmp_path / "ours.safetensors", {"fantasyid": metadata})
    refused(tmp_path / "ours.safetensors", said)


def test_other_dtypes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="Expected float32, bfloat16 or float16.*got torch.int8"):
        load_face_encoder(tmp_path / "any.pt", torch.int8)


def test_a_failed_save_leaves_the_older_file_alone(tmp_path, monkeypatch):
    path = tmp_path / "tiny.safetensors"
    save_face_encoder(tiny_face_encoder(seed=1), path)
    before = path.read_bytes()

    def full_disk(tensors, filename, metadata):
        filename.write_bytes(b"half")
        raise SafetensorError("No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full_disk)
    with pytest.raises(OSError, match="No space left on device.*Nothing was changed"):
        save_face_encoder(tiny_face_encoder(seed=2), path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == [path.name]


def test_the_metadata_describes_the_architecture(tmp_path):
    from safetensors import safe_open

    save_face_encoder(tiny_face_encoder(), tmp_path / "tiny.safetensors")
    with safe_open(tmp_path / "tiny.safetensors", "pt") as file:
        described = json.loads(file.metadata()["fantasyid"])
    assert described["kind"] == "face_encoder"
    assert {"image_size", "patch_size", "width", "depth", "heads", "hidden"} < described.keys()


def test_layers_come_from_the_given_operations():
    class Counting(torch.nn.Module):
        Linear, LayerNorm, Conv2d = torch.nn.Linear, torch.nn.LayerNorm, torch.nn.Conv2d

    made = []
    Counting.Linear = lambda *args, **kwargs: made.append(args) or torch.nn.Linear(*args, **kwargs)
    FaceEncoder(SMALL, Counting)
    assert len(made) == 2 * 7


def test_the_rotary_table_turns_rows_and_columns():
    from fantasyid_core.face.eva import rotary_table, rotate

    config = EvaConfig.tiny()
    head = config.width // config.heads
    x = torch.randn(1, 1 + config.grid**2, config.heads, head, generator=torch.Generator().manual_seed(6))
    turned = rotate(x, rotary_table(config))
    for token, (row, column) in enumerate((r, c) for r in range(config.grid) for c in range(config.grid)):
        for pair in range(head // 2):
            place = row if pair < head // 4 else column
            step = pair % (head // 4) * 2 / (head // 2)
            angle = torch.tensor(place / config.grid * config.rope_grid / 10000**step)
            a, b = x[0, token + 1, :, 2 * pair], x[0, token + 1, :, 2 * pair + 1]
            found = turned[0, token + 1, :, 2 * pair : 2 * pair + 2].unbind(-1)
            assert torch.allclose(found[0], a * angle.cos() - b * angle.sin(), atol=1e-5)
            assert torch.allclose(found[1], b * angle.cos() + a * angle.sin(), atol=1e-5)
    assert torch.equal(turned[:, 0], x[:, 0])
    assert F.mse_loss(turned.norm(dim=-1), x.norm(dim=-1)) < 1e-10
