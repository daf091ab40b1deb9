"""Pairs of clips of the long training: what twins differ in, and how often."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fantasyid_core.experiments import clip_pairs
from fantasyid_core.experiments.clip_pairs import LOOKS, SHAPE, SLIDER, sample_pair
from fantasyid_core.people.person import training_seeds
from fantasyid_core.shape.edit.controls import shape_controls


def test_pairs_are_of_three_kinds_and_differ_in_one_thing():
    kinds = []
    for seed in training_seeds(60):
        pair = sample_pair(seed)
        (person, twin), (none, bend) = pair.people, pair.bends
        kinds.append(pair.kind)
        assert none is None and (bend is not None) == (pair.kind == SLIDER)
        assert (person.appearance == twin.appearance) == (pair.kind != LOOKS)
        assert (person.shape == twin.shape) == (pair.kind != SHAPE)
        if bend is not None:
            fields = [np.asarray(shape_controls(person.vertices())[name]).ravel() for name in clip_pairs.SLIDERS]
            cosines = [abs(field @ bend.ravel()) / np.linalg.norm(field) / np.linalg.norm(bend) for field in fields]
            assert max(cosines) > 0.999
    assert set(kinds) == {LOOKS, SHAPE, SLIDER}


def test_kinds_and_sliders_of_pairs_come_as_often_as_they_should(monkeypatch):
    """Only the draws; the chances in 4,000 of them lie within three standard deviations."""
    monkeypatch.setattr(clip_pairs, "sample_person", lambda seed: _Anybody(seed))
    monkeypatch.setattr(clip_pairs, "sample_twin", lambda person, number: person)
    monkeypatch.setattr(clip_pairs, "sample_looks_twin", lambda person, number: (person, ""))
    controls = _Asked()
    monkeypatch.setattr(clip_pairs, "shape_controls", lambda vertices: controls)
    kinds = [sample_pair(seed).kind for seed in range(4000)]
    _assert_shares([kinds.count(kind) for kind in (LOOKS, SHAPE, SLIDER)], clip_pairs._SHARES)
    often = [clip_pairs._OFTEN.get(name, 1) for name in clip_pairs.SLIDERS]
    _assert_shares([controls.asked.count(name) for name in clip_pairs.SLIDERS], np.array(often) / sum(often))


class _Asked(dict):
    """Remembers which sliders were taken."""

    def __init__(self):
        super().__init__({name: np.zeros(1) for name in clip_pairs.SLIDERS})
        self.asked = []

    def __getitem__(self, name: str) -> np.ndarray:
        self.asked.append(name)
        return super().__getitem__(name)


class _Anybody(NamedTuple):
    seed: int

    def vertices(self) -> None:
        return None


def _assert_shares(counts: list[int], shares) -> None:
    total, shares = sum(counts), np.array(shares)
    spread = np.sqrt(shares * (1 - shares) / total)
    np.testing.assert_array_less(np.abs(np.array(counts) / total - shares), 3 * spread)
