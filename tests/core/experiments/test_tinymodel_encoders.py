"""The text and the face encoder of FantasyID-Tiny."""

from __future__ import annotations

import warnings

import pytest
import torch

from fantasyid_core.people.backdrop import sample_backdrop
from fantasyid_core.people.motion import sample_motion
from fantasyid_core.people.person import Draw
from fantasyid_core.people.prompts import prompt_of, vocabulary
from fantasyid_core.tinymodel.face import FaceConfig, TinyFaceEncoder
from fantasyid_core.tinymodel.text import TextConfig, TextEncoder
from fantasyid_core.tinymodel.words import SILENT, SYNONYMS, words_of


@pytest.fixture(scope="module")
def text() -> TextEncoder:
    return TextEncoder(TextConfig.tiny())


def prompts(count: int) -> list[str]:
    draws = [Draw(seed, "clip") for seed in range(count)]
    return [prompt_of(sample_motion(draw), sample_backdrop(draw)) for draw in draws]


def test_every_prompt_is_known_word_for_word_and_fits():
    encoder = TextEncoder(TextConfig.tiny(length=TextConfig().length))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for prompt in prompts(500):
            words, foreign = words_of(prompt)
            assert words == prompt.replace(",", " ,").split() and not foreign
            assert (encoder.ids([prompt]) > 0).sum() == len(words)


def test_different_prompts_have_different_embeddings_and_order_counts(text):
    several = sorted(set(prompts(40)))
    embeddings = text.encode(several)
    assert embeddings.shape == (len(several), text.config.tokens, 16)
    distances = torch.cdist(embeddings.flatten(1), embeddings.flatten(1))
    assert distances.fill_diagonal_(9).min() > 1e-3
    left, right = text.encode(["turns the head from left to right", "turns the head from right to left"])
    assert (left - right).abs().max() > 1e-4


def test_the_null_text_is_padding_alone(text):
    assert not text.ids([""]).any()
    assert torch.equal(text.encode([""]), text.encode(["  ,"]))
    assert text.encode(["", "nods"]).shape == (2, text.config.tokens, 16)


@pytest.mark.parametrize(
    ("free", "known"),
    [
        ("A young woman grins; gray wall", "smiles , grey background"),
        ("The man is turning HIS HEAD to the left.", "the turns head to the left"),
        ("a smiling person, then she stops smiling", "smiles , and stops smiling"),
        ("he lifts his eyebrows,, lit from above", "raises the brows , light from above"),
    ],
)
def test_free_text_is_said_in_known_words(free, known):
    words, foreign = words_of(free)
    assert not foreign
    assert [word for word in words if word != "the"] == [word for word in known.split() if word != "the"]


def test_unknown_words_are_named_and_left_out(text):
    with pytest.warns(UserWarning, match="left out: dragon, feuer"):
        ids = text.ids(["dragon nods feuer dragon"])
    assert torch.equal(ids, text.ids(["nods"]))


def test_long_text_is_cut_with_a_note(text):
    with pytest.warns(UserWarning, match="has 60 known words.*first 28"):
        assert text.ids(["nods and " * 30]).shape == (1, 28)


@pytest.mark.parametrize("odd", ["\x00", "🙂🙂", "12345", "a" * 5000, "\n\n", "ñandú", "''\"%s{}"])
def test_no_text_makes_it_fail(text, odd):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert text.encode([odd]).isfinite().all()


@pytest.mark.parametrize("wrong", ["nods", [], [None], [b"nods"]])
def test_what_is_no_list_of_texts_is_refused(text, wrong):
    with pytest.raises(ValueError, match="Expected a list of texts"):
        text.encode(wrong)


def test_synonyms_lead_to_known_words_only():
    known = set(vocabulary())
    assert set(SYNONYMS.values()) <= known
    assert not known & set(SYNONYMS) and not known & SILENT and not SILENT & set(SYNONYMS)


def test_encoders_are_the_same_for_a_seed_and_leave_the_random_state_alone():
    state = torch.random.get_rng_state()
    ours = [TextEncoder(TextConfig.tiny(), 3), TinyFaceEncoder(FaceConfig.tiny(), 3)]
    theirs = [TextEncoder(TextConfig.tiny(), 3), TinyFaceEncoder(FaceConfig.tiny(), 3)]
    assert torch.equal(torch.random.get_rng_state(), state)
    for one, other in zip(ours, theirs, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert not torch.equal(ours[0].positions, TextEncoder(TextConfig.tiny(), 4).positions)


def test_the_face_encoder_stands_where_the_clip_encoder_does():
    encoder = TinyFaceEncoder()
    assert (encoder.tokens, encoder.width, encoder.image_size) == (65, 128, 64)
    pixels = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    feats = encoder.encode(pixels)
    assert feats.shape == (2, 65, 128) and torch.equal(encoder(pixels), feats)
    torch.testing.assert_close(encoder.encode(pixels[1:]), feats[1:])
    assert encoder.encode(torch.rand(1, 3, 128, 128)).shape == (1, 65, 128)


def test_grid_tokens_follow_the_picture():
    """A change in one corner moves the token of that corner most, before tokens are mixed."""
    encoder = TinyFaceEncoder(FaceConfig(layers=0))
    pixels = torch.full((1, 3, 64, 64), 0.5)
    changed = pixels.clone()
    changed[..., 56:, :8] = 1.0
    moved = (encoder.encode(changed) - encoder.encode(pixels))[0].norm(dim=-1)
    assert moved[0] == 0 and moved.argmax() == 1 + 7 * 8


@pytest.mark.parametrize("wrong", [torch.rand(1, 3, 64, 48), torch.rand(3, 64, 64), 255 * torch.rand(1, 3, 64, 64)])
def test_pictures_that_do_not_fit_are_refused(wrong):
    with pytest.raises(ValueError, match="Expected"):
        TinyFaceEncoder(FaceConfig.tiny()).encode(wrong)


def test_every_parameter_learns_and_the_budget_is_kept():
    text, face = TextEncoder(), TinyFaceEncoder()
    feats = face.encode(torch.rand(2, 3, 64, 64))
    (text.encode(prompts(60)).square().sum() + feats.pow(3).sum()).backward()
    for network in (text, face):
        silent = [name for name, value in network.named_parameters() if value.grad is None or not value.grad.any()]
        assert not silent
    assert sum(value.numel() for network in (text, face) for value in network.parameters()) <= 800_000
