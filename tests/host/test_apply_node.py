"""Apply Identity's settings in the real ComfyUI: strings, curves, masks, and what they do to the video."""

from __future__ import annotations

import numpy as np
import pytest
import torch

CENTRE = {"detector": "none", "which_face": "largest", "number": 0, "padding": 0.0}
SETTINGS = {"seed": 1, "steps": 3, "cfg": 6.0, "solver": "ddim"}


@pytest.fixture
def execute(host, pack):
    def execute(name: str, **inputs):
        with torch.inference_mode():
            return host.node_classes[f"FantasyID_{name}"].execute(**inputs)

    return execute


@pytest.fixture
def people(small_host_models, execute):
    """model, adapter, two identities."""
    model, adapter, *_ = execute("LoadModel", model="FantasyID", dtype="fp32").result
    (encoder,) = execute("LoadFaceEncoder", encoder="eva.safetensors", dtype="fp32").result
    (shape,) = execute("LoadShape", shape="face.ply").result
    identities = []
    for seed in range(2):
        noise = torch.rand(1, 96, 80, 3, generator=torch.Generator().manual_seed(seed))
        face = execute("CropFace", image=noise, **CENTRE).result[0]
        parts = {"adapter": adapter, "encoder": encoder, "face": face, "shape": shape}
        identities.append(execute("EncodeIdentity", **parts).result[0])
    return model, adapter, identities


@pytest.fixture
def video(execute, people):
    """video(*settings of one person after the other) -> latents [1, C, T, h, w]."""
    model, adapter, identities = people
    text = [[torch.zeros(1, 226, 64), {"concat_latent_image": torch.zeros(1, 16, 1, 8, 12)}]]
    latent = {"samples": torch.zeros(1, 16, 3, 8, 12)}

    def video(*settings, identity=None):
        patched = model
        for number, each in enumerate(settings):
            person = identities[number if identity is None else identity]
            inputs = {"model": patched, "adapter": adapter, "identity": person, "strength": 1.0, **each}
            patched = execute("ApplyIdentity", **inputs).result[0]
        sampled = execute("Sampler", model=patched, positive=text, negative=text, latent=latent, **SETTINGS)
        return sampled.result[0]["samples"]

    return video


def test_neutral_settings_change_no_bit(video):
    plain = video({})
    for settings in ({"layers": ""}, {"layers": "0-1:1"}, {"schedule": "0:1, 1:1"}, {"mask": torch.ones(1, 64, 96)}):
        assert torch.allclose(video(settings), plain, atol=1e-5), settings
    assert torch.equal(video({"face_weight": 1.0, "shape_weight": 1.0, "identity_guidance": 1.0}), plain)


@pytest.mark.parametrize(
    "off",
    [{"strength": 0.0}, {"layers": "*:0"}, {"schedule": "0:0, 1:0"}, {"mask": torch.zeros(1, 64, 96)},
     {"start_percent": 1.0}, {"face_weight": 0.0, "shape_weight": 0.0}],
)  # fmt: skip
def test_every_way_to_switch_the_person_off_is_the_plain_model(video, off):
    assert torch.allclose(video(off), video(), atol=1e-6)


@pytest.mark.parametrize(
    "settings",
    [{"layers": "0:0"}, {"schedule": "0:0, 1:1"}, {"fade_in": 0.9}, {"face_weight": 0.0}, {"shape_weight": 3.0},
     {"identity_guidance": 2.0}, {"strength": -0.5}, {"end_percent": 0.4}],
)  # fmt: skip
def test_every_setting_does_something(video, settings):
    changed = video(settings)
    assert changed.isfinite().all()
    assert not torch.allclose(changed, video({}), atol=1e-5) and not torch.allclose(changed, video(), atol=1e-5)


def test_people_side_by_side_stand_where_masks_would_put_them(video):
    left = torch.zeros(1, 64, 96)
    left[..., :48] = 1
    by_region = video({"region": "side by side"}, {"region": "side by side"})
    by_mask = video({"mask": left}, {"mask": 1 - left})
    assert torch.allclose(by_region, by_mask, atol=1e-5)
    assert not torch.allclose(by_region, video({}, {}), atol=1e-4)


def test_the_node_draws_its_weights(execute, people, host):
    from PIL import Image

    model, adapter, (person, _) = people

    def curves(**settings):
        output = execute("ApplyIdentity", model=model, adapter=adapter, identity=person, strength=1.0, **settings)
        (saved,) = output.ui.as_dict()["images"] if hasattr(output.ui, "as_dict") else output.ui["images"]
        import folder_paths

        with Image.open(f"{folder_paths.get_temp_directory()}/{saved['subfolder']}/{saved['filename']}") as picture:
            return np.asarray(picture.convert("RGB"))

    plain = curves()
    assert plain.shape == (96, 512, 3)
    assert not np.array_equal(curves(layers="0:0.2")[:, :256], plain[:, :256])
    assert not np.array_equal(curves(fade_in=0.5)[:, 256:], plain[:, 256:])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": "0-1:1.2, x:3"}, r"(?s)x:3.*\^"),
        ({"layers": "7:1"}, "7"),
        ({"schedule": "0:1, 0.5"}, r"(?s)\^"),
        ({"start_percent": 0.8, "end_percent": 0.2}, "end after the start"),
        ({"mask": torch.ones(1, 64, 96), "region": "side by side"}, "got both"),
        ({"mask": torch.ones(5, 64, 96)}, "frames"),
        ({"mask": torch.full((1, 64, 96), torch.nan)}, "finite"),
        ({"identity_guidance": float("inf")}, "finite"),
    ],
)
def test_settings_that_make_no_sense_are_explained(execute, people, settings, message):
    model, adapter, (person, _) = people
    with pytest.raises(ValueError, match=message):
        execute("ApplyIdentity", model=model, adapter=adapter, identity=person, strength=1.0, **settings)
