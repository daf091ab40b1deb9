"""Names of tensors: one-to-one between the release, this project and the host."""

from __future__ import annotations

from golden import official_layout
from small import make_adapter

from fantasyid_core.files.keymaps import adapter_name, diffusers_name, host_name, is_dead, release_name


def test_every_release_key_is_live_dead_or_the_transformers():
    for key in official_layout():
        kinds = [adapter_name(key) is not None, is_dead(key), host_name(key) is not None]
        assert sum(kinds) == 1, key


def test_names_survive_the_round_trip():
    for key in official_layout():
        if adapter_name(key):
            assert release_name(adapter_name(key)) == key
        if host_name(key):
            assert diffusers_name(host_name(key)) == key


def test_every_own_key_has_a_release_name():
    keys = list(make_adapter().state_dict())
    assert [adapter_name(release_name(key)) for key in keys] == keys


def test_the_measured_live_parts_are_not_dead():
    assert is_dead("face_abstractor.layers.8.0.net.0.b1.conv1.conv.weight")
    assert not is_dead("face_abstractor.layers.8.0.pos_emb")
    assert not is_dead("face_abstractor.mapping_4.0.weight")


def test_foreign_keys_have_no_name():
    assert host_name("transformer_blocks.0.attn1.to_q.lora_A.weight") is not None  # a suffix is kept ...
    assert adapter_name("decoder.conv_in.weight") is None and host_name("decoder.conv_in.weight") is None
