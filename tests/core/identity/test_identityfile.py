"""Identities in files, and mixtures of identities."""

from __future__ import annotations

import json
import math
import pickle
import re

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from fantasyid_core.identity.identityfile import LICENCE_NOTE, load_identity, mix_identities, save_identity

OURS, OTHER = "0123456789abcdef", "fedcba9876543210"
GENERATOR = torch.Generator().manual_seed(0)
TOKENS = torch.randn(1, 8, 32, generator=GENERATOR)
THUMBNAIL = np.random.default_rng(0).integers(0, 256, (16, 12, 3), np.uint8)
VERTICES = torch.randn(30, 3, generator=GENERATOR)
EDIT = json.dumps({"jaw_width": 0.5})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "anne.safetensors"


def save(path, **changes):
    values = {"tokens": TOKENS, "thumbnail": THUMBNAIL, "vertices": VERTICES, "edit": EDIT, "fingerprint": OURS}
    return save_identity(path, **{**values, "shape_name": "anne", **changes})


def test_what_is_saved_is_loaded_to_the_bit(path):
    assert save(path) == path
    found = load_identity(path, OURS)
    assert torch.equal(found.tokens, TOKENS) and torch.equal(found.vertices, VERTICES)
    assert np.array_equal(found.thumbnail, THUMBNAIL) and found.thumbnail.dtype == np.uint8
    assert (found.adapter, found.edit, found.shape_name) == (OURS, EDIT, "anne")
    assert found.licence == LICENCE_NOTE and found.note == ""
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_shape_and_edit_are_optional(path):
    save_identity(path, TOKENS, THUMBNAIL, fingerprint=OURS)
    found = load_identity(path)
    assert found.vertices is None and found.edit == "" == found.shape_name


def test_the_file_is_one_any_reader_of_safetensors_can_read(path):
    save(path, licence_note="mine")
    with safe_open(path, framework="np") as file:
        assert set(file.keys()) == {"tokens", "thumbnail", "vertices"}
        metadata = file.metadata()
        assert np.array_equal(file.get_tensor("tokens"), TOKENS.numpy())
    assert re.fullmatch("[0-9a-f]{64}", metadata.pop("sha256"))
    assert metadata == {
        "format": "fantasyid_identity",
        "version": "1",
        "adapter": OURS,
        "edit": EDIT,
        "shape_name": "anne",
        "licence": "mine",
    }


def test_tokens_of_a_node_can_be_saved(path):
    """Nodes make tensors in inference mode, expanded ones, and in half precision."""
    with torch.inference_mode():
        tokens = (TOKENS.bfloat16() * 1).expand(2, -1, -1)
        save(path, tokens=tokens, thumbnail=THUMBNAIL[::2, ::-1])
    found = load_identity(path)
    assert torch.equal(found.tokens, tokens.float()) and np.array_equal(found.thumbnail, THUMBNAIL[::2, ::-1])


def test_a_failing_write_leaves_the_old_file(path, monkeypatch):
    save(path)
    before = path.read_bytes()

    def full(tensor):  # when a part of the file is written
        raise OSError(28, "No space left")

    monkeypatch.setattr("fantasyid_core.files.tensorfile._bytes", full)
    with pytest.raises(OSError, match="No space left.*Nothing was changed"):
        save(path, shape_name="other")
    assert path.read_bytes() == before and len(list(path.parent.iterdir())) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokens": TOKENS[0]}, r"expected tokens as float \[B, Nid, Cid\], got float32 \[8, 32\]"),
        ({"tokens": TOKENS.int()}, "expected tokens as float .*got int32"),
        ({"tokens": TOKENS[:, :0]}, r"got float32 \[1, 0, 32\]"),
        ({"tokens": TOKENS * math.nan}, "expected finite tokens, got NaN"),
        ({"thumbnail": THUMBNAIL[..., 0]}, r"expected thumbnail as uint8 \[H, W, 3\], got uint8 \[16, 12\]"),
        ({"thumbnail": THUMBNAIL / 255}, "expected thumbnail as uint8 .*got float64"),
        ({"vertices": VERTICES[:, :2]}, r"expected vertices as float \[V, 3\], got float32 \[30, 2\]"),
        ({"vertices": VERTICES / 0}, "expected finite vertices"),
        ({"edit": "{jaw: 1}"}, r"the edit of the shape as JSON, got '\{jaw: 1\}'"),
        ({"fingerprint": ""}, "Expected the fingerprint of the adapter"),
    ],
)
def test_what_is_no_identity_is_not_saved(path, changes, message):
    save(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=message):
        save(path, **changes)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["anne.pt", "anne", "anne.pkl"])
def test_other_suffixes_are_refused(tmp_path, name):
    (tmp_path / name).write_bytes(pickle.dumps("code"))
    for use in (lambda path: save(path), load_identity):
        with pytest.raises(ValueError, match=f"{name}: expected a name that ends in .safetensors"):
            use(tmp_path / name)


def test_another_adapter_is_refused_unless_forced(path):
    save(path)
    with pytest.raises(ValueError, match=f"adapter {OURS}, .* is {OTHER}: .*Connect the adapter .*force"):
        load_identity(path, OTHER)
    found = load_identity(path, OTHER, force=True)
    assert found.adapter == OTHER and torch.equal(found.tokens, TOKENS)
    assert OURS in found.note and OTHER in found.note and "force" in found.note
    assert load_identity(path, OURS, force=True).note == ""


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no identity file at .*gone.safetensors"):
        load_identity(tmp_path / "gone.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(FileNotFoundError, match="no identity file"):
        load_identity(tmp_path / "folder.safetensors")


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:20], lambda b: b"", lambda b: pickle.dumps("code")])
def test_a_damaged_file_is_said_to_be_damaged(path, damage):
    save(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match="anne.safetensors is not a readable .*truncated or corrupt. Save .* again"):
        load_identity(path)


@pytest.mark.parametrize("wanted", [TOKENS.numpy().tobytes(), THUMBNAIL.tobytes(), OURS.encode(), b"jaw_width"])
def test_a_single_changed_byte_is_noticed(path, wanted):
    save(path)
    content = bytearray(path.read_bytes())
    content[content.index(wanted) + 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="anne.safetensors is damaged: it does not match its own checksum"):
        load_identity(path)


def rewrite(path, tensors, **metadata):
    values = {"format": "fantasyid_identity", "version": "1", "adapter": OURS, **metadata}
    save_file(tensors, path, {key: value for key, value in values.items() if value is not None})


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"format": None}, "is no saved identity: it holds 2 tensors such as thumbnail, tokens"),
        ({"format": "pt"}, "is no saved identity"),
        ({"version": "2"}, "saved by a newer FantasyID .file version 2, this one reads up to 1.*Update the pack"),
        ({"version": "9" * 5000}, "newer FantasyID"),
        ({"version": "one"}, "is damaged: its version"),
        ({"version": None}, "is damaged: its version"),
        ({"adapter": None}, "is damaged: .*fingerprint is missing"),
        ({"edit": "{"}, "expected the edit of the shape as JSON"),
        ({"edit": "[" * 100000}, "expected the edit of the shape as JSON"),
    ],
)
def test_foreign_newer_and_incomplete_files_are_refused(path, metadata, message):
    rewrite(path, {"tokens": TOKENS, "thumbnail": torch.from_numpy(THUMBNAIL)}, **metadata)
    with pytest.raises(ValueError, match=f"anne.safetensors.*{message}"):
        load_identity(path)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"tokens": TOKENS}, "holds no thumbnail"),
        ({}, "holds no tokens and no thumbnail"),
        ({"tokens": TOKENS[0], "thumbnail": torch.from_numpy(THUMBNAIL)}, "expected tokens as"),
        ({"tokens": TOKENS * math.inf, "thumbnail": torch.from_numpy(THUMBNAIL)}, "expected finite tokens"),
    ],
)
def test_files_with_other_contents_are_refused(path, tensors, message):
    rewrite(path, tensors)
    with pytest.raises(ValueError, match=f"anne.safetensors.*{message}"):
        load_identity(path)


def test_a_foreign_file_is_described(path):
    save_file({"blocks.0.q.lora_A.weight": TOKENS}, path)
    with pytest.raises(ValueError, match="no saved identity: it holds 1 tensors such as blocks.0.q.lora_A.weight"):
        load_identity(path)


def test_mixing_is_the_weighted_mean():
    people = [torch.randn(1, 8, 32, generator=GENERATOR) for _ in range(3)]
    mixed = mix_identities(people, [2, 1, 1], [OURS] * 3)
    assert torch.allclose(mixed, 0.5 * people[0] + 0.25 * people[1] + 0.25 * people[2], atol=1e-6)
    assert torch.allclose(mix_identities(people), torch.stack(people).mean(0), atol=1e-6)
    assert torch.equal(mix_identities(people, [0, 7, 0]), people[1])
    away = mix_identities(people[:2], [1.5, -0.5])
    assert torch.allclose(away, people[0] + 0.5 * (people[0] - people[1]), atol=1e-6)


def test_mixing_half_precision_sums_in_float32():
    mixed = mix_identities([torch.ones(1, 1, 1, dtype=torch.bfloat16)] * 700)
    assert mixed.dtype == torch.bfloat16 and mixed.item() == 1  # summed in bfloat16 it would stay below 0.6


@pytest.mark.parametrize(
    ("tokens", "options", "message"),
    [
        ([], {}, "at least one identity"),
        ([TOKENS, TOKENS[:, :4]], {}, r"of one size, got \[1, 8, 32\], \[1, 4, 32\]"),
        ([TOKENS[0]], {}, r"Expected identities \[B, Nid, Cid\]"),
        ([TOKENS, TOKENS], {"weights": [1]}, "Expected 2 finite weights"),
        ([TOKENS, TOKENS], {"weights": [1, math.nan]}, "got 1, nan"),
        ([TOKENS, TOKENS], {"weights": [1, -1]}, "sum above 0"),
        ([TOKENS, TOKENS], {"weights": [0, 0]}, "sum above 0"),
        ([TOKENS, TOKENS], {"fingerprints": [OURS, OTHER]}, f"one adapter, got adapters {OURS}, {OTHER}"),
        ([TOKENS, TOKENS], {"fingerprints": [OURS]}, "2 identities made with one adapter"),
    ],
)
def test_what_cannot_be_mixed_is_refused(tokens, options, message):
    with pytest.raises(ValueError, match=message):
        mix_identities(tokens, **options)
