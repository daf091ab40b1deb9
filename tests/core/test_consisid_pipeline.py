"""ConsisID from the photo to the video, against diffusers' own ConsisIDPipeline on the same small folder."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from consisidgolden import write_arcface, write_parser
from golden import relative_error
from PIL import Image

from fantasyid_core.config import AdapterConfig, TransformerConfig
from fantasyid_core.face.consisid import load_readers, load_tower, prepare_face
from fantasyid_core.face.photo import FaceRequest
from fantasyid_core.host.diffusers import others as diffusers_models
from fantasyid_core.machine.folder import find_face_encoder
from fantasyid_core.pipeline import Inputs, Run, Settings, generate, make_latents
from fantasyid_core.request import PersonRequest, load_face
from fantasyid_core.tools.random_model import write_random_model

pytest.importorskip("facexlib", reason="facexlib is not installed: no parts of a face")
PROMPT, NEGATIVE = "a person walks through a forest", "blurred"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("consisid")
    rows, columns = np.mgrid[0:120, 0:160]
    picture = np.stack([rows * 2, columns, (rows + columns) % 256], axis=-1).astype(np.uint8)
    Image.fromarray(picture).save(folder / "face.png")
    sizes = TransformerConfig.tiny(num_layers=4)
    model = write_random_model(folder / "model", 0, sizes, AdapterConfig.consisid_tiny(interval=2))
    write_parser(model / "face_encoder" / "parsing_bisenet.pth")
    write_arcface(model / "face_encoder" / "models" / "antelopev2" / "glintr100.onnx")
    person = PersonRequest(folder / "face.png", None, FaceRequest("none"))
    return Inputs(model, person)


def settings(**changes) -> Settings:
    return Settings(**{"prompt": PROMPT, "negative": NEGATIVE, "steps": 4, "seed": 7, "device": "cpu", **changes})


@pytest.mark.parametrize("scale", [1.0, 0.6])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_four_steps_are_those_of_diffusers_own_pipeline(inputs, scale):
    import diffusers

    folder = inputs.model
    config = diffusers.ConsisIDTransformer3DModel.load_config(folder / "transformer")
    transformer = diffusers.ConsisIDTransformer3DModel.from_pretrained(folder / "transformer", local_face_scale=scale)
    assert config["is_train_face"]
    official = diffusers.ConsisIDPipeline(
        tokenizer=diffusers_models.load_tokenizer(folder),
        text_encoder=diffusers_models.load_text_encoder(folder),
        vae=diffusers_models.load_vae(folder),
        transformer=transformer,
        scheduler=diffusers.CogVideoXDPMScheduler.from_pretrained(folder / "scheduler"),
    )
    readers, tower = load_readers([folder]), load_tower(find_face_encoder(folder))
    with torch.inference_mode():
        prepared = prepare_face(load_face(inputs.person), tower.features, readers)
    expected = official(
        image=Image.fromarray(prepared.face.parsed).resize((96, 64), Image.Resampling.LANCZOS),
        prompt=PROMPT,
        negative_prompt=NEGATIVE,
        height=64,
        width=96,
        num_frames=9,
        num_inference_steps=4,
        generator=torch.Generator().manual_seed(7),
        output_type="latent",
        id_vit_hidden=[state.clone() for state in prepared.features.states],
        id_cond=prepared.features.vector.clone(),
    ).frames
    made = make_latents(Run(inputs, settings(strength=scale)))
    assert relative_error(made, expected) <= 1e-5
    assert relative_error(make_latents(Run(inputs, settings(strength=0.0))), expected) > 1e-4


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_video_needs_no_3d_face_and_refuses_one(inputs):
    assert generate(inputs, settings(steps=1)).shape == (9, 64, 96, 3)
    shape = replace(inputs.person, shape=torch.zeros(5023, 3))
    with pytest.raises(ValueError, match="reads no 3D face, so a shape would be ignored"):
        generate(inputs._replace(person=shape), settings(steps=1))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_without_its_files_it_refuses_or_says_that_it_is_approximate(inputs, tmp_path, monkeypatch):
    from fantasyid_core import pipeline

    monkeypatch.setattr(pipeline, "default_folders", list)
    model = write_random_model(tmp_path / "model", 0, None, AdapterConfig.consisid_tiny())
    bare = Inputs(model, inputs.person)
    with pytest.raises(FileNotFoundError, match="glintr100.onnx .* is missing.*--approximate"):
        generate(bare, settings(steps=1))
    with pytest.warns(UserWarning, match="Approximate: parsing_bisenet.pth is missing"):
        generate(bare._replace(approximate=True), settings(steps=1))
    assert find_face_encoder(model).name == "eva.safetensors"
