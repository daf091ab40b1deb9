"""Pairs of clips: a person and a twin, who differs in looks, in shape, or in one slider of the face editor.

Twins in shape share their references, because the vertices alone tell the shape. Twins in looks have their own
references in the same poses, because the picture tells the looks. Sliders deform the mesh as no drawn person is
deformed, so that the model also learns the editor's changes.

The number of pairs grows: a training begins with few pairs and gets new ones while it runs, so that it need not wait
for hours of drawing and does not memorise its clips. The pairs of a batch follow from the batch's number alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np
import torch

from ..files.pixels import to_video
from ..people.clips import Clip, make_clip
from ..people.compiling import sources_digest
from ..people.looks import sample_looks_twin
from ..people.person import Draw, Person, sample_person, sample_twin, training_seeds
from ..shape.edit.controls import shape_controls
from ..training.batches import Batch, generator
from ..training.clipcache import ClipCache
from .portrait_pairs import SIDE, as_rest, at_rest, truth_of
from .readout import REST, Looks

SLIDERS = (
    "face_width", "jaw_width", "jaw_sharpness", "chin_height", "chin_width", "forehead_height", "cheekbone_width",
    "eye_size", "eye_spacing", "nose_length", "nose_width", "mouth_width",
)  # fmt: skip
"""The twelve that are used most."""
LOOKS, SHAPE, SLIDER = range(3)
_SHARES = (0.38, 0.17, 0.45)
_OFTEN = {
    "cheekbone_width": 5,
    "jaw_sharpness": 4,
    "eye_size": 3,
    "forehead_height": 2,
    "eye_spacing": 2,
    "chin_width": 2,
    "mouth_width": 1.5,
    "nose_width": 1.5,
}
"""How often a slider is drawn, 1 otherwise: those that are learned last come more often."""
_SLIDER_RANGE = 0.4, 1.0  # how far a slider is moved, to either side
_FORMAT = "clip pairs 1"
_CHUNK = 128  # pairs that are drawn together
_PROMPT_BYTES = 256


class Growth(NamedTuple):
    """The number of pairs: `first` at the beginning, and `more` after every `every` batches."""

    first: int = 3072
    more: int = 128
    every: int = 100

    def pairs(self, micro_batch: int) -> int:
        return self.first + micro_batch // self.every * self.more


class Pair(NamedTuple):
    """Two people, and the displacement [V,3] of each head in metres or None; kind: LOOKS, SHAPE or SLIDER."""

    kind: int
    people: tuple[Person, Person]
    bends: tuple[np.ndarray | None, np.ndarray | None]


def sample_pair(seed: int, number: int = 0) -> Pair:
    """The pair `number` of the person `seed`: the same on every machine."""
    person, draw = sample_person(seed), Draw(seed, "pair", number)
    kind = int(draw.weighted(list(enumerate(_SHARES))))
    if kind == LOOKS:
        return Pair(kind, (person, sample_looks_twin(person, number)[0]), (None, None))
    if kind == SHAPE:
        return Pair(kind, (person, sample_twin(person, number)), (None, None))
    name = draw.weighted([(slider, _OFTEN.get(slider, 1)) for slider in SLIDERS])
    value = draw(*_SLIDER_RANGE) * (1 if draw.chance(0.5) else -1)
    bend = value * np.asarray(shape_controls(person.vertices())[name], np.float64)
    return Pair(kind, (person, person), (None, bend.astype(np.float32)))


class ClipPairs:
    """A source of clips (`training.batches.ClipSource`), two for every pair; row 2 i + 1 is the twin of row 2 i.

    codec: makes their latents (`training.models.VideoCodec`). They are drawn and encoded when they are first asked for,
    and kept. Raises RuntimeError without numba, OSError when the folder cannot be written.
    """

    together = 2

    def __init__(
        self, pairs: int, folder: str | Path, codec, frames: int = 9, references: int = 3, growth: Growth | None = None
    ):
        self._pairs, self._codec, self._frames, self._references = pairs, codec, frames, references
        self._growth = growth or Growth()
        content = f"{_FORMAT} {sources_digest()} {frames} {references} {SLIDERS} {_OFTEN} {_SHARES} {codec.fingerprint}"
        self.fingerprint = hashlib.sha256(content.encode()).hexdigest()[:16]
        self._cache = ClipCache(Path(folder) / f"pairs-{self.fingerprint}", pairs, _CHUNK)
        self._lock = Lock()

    def __len__(self) -> int:
        return 2 * self._pairs

    def chosen(self, micro_batch: int, size: int, seed: int) -> list[int]:
        """The clips of a batch: `size` / 2 of the pairs that there are by then."""
        there = min(self._pairs, self._growth.pairs(micro_batch))
        pairs = generator(seed, "pairs", micro_batch).choice(there, size // 2, replace=False)
        return [2 * int(pair) + member for pair in pairs for member in (0, 1)]

    def pictures(self, index: int) -> np.ndarray:
        return self._row("pictures", index)

    def vertices(self, indices: Sequence[int]) -> np.ndarray:
        return self._rows("vertices", indices)

    def batch(self, indices: Sequence[int], rng: np.random.Generator) -> Batch:
        """Twins that stand beside each other see references of one number."""
        views = {index // 2: int(rng.random() * self._references) for index in dict.fromkeys(indices)}
        references = [self._row("references", index)[views[index // 2]] for index in indices]
        return Batch(
            names=[f"pair {index // 2}" + " (twin)" * (index % 2) for index in indices],
            texts=[bytes(self._pair("prompts", index)).rstrip(b"\0").decode() for index in indices],
            vertices=self.vertices(indices),
            references=np.stack(references),
            first=np.stack([self.pictures(index)[0] for index in indices]),
            pictures=self._rows("pictures", indices),
            latents=self._rows("latents", indices),
        )

    def looks(self, names: Sequence[str]) -> Looks:
        """The truth of the clips of a batch, by their names."""
        indices = [2 * int(name.split()[1]) + name.endswith("(twin)") for name in names]
        take = lambda name: torch.from_numpy(self._rows(name, indices))  # noqa: E731
        layers = take("rest_layers")[:, :: SIDE // REST, :: SIDE // REST].long()
        return Looks(take("kinds").long(), take("numbers"), take("shown"), as_rest(take("rest")), layers)

    def numbers(self) -> torch.Tensor:
        """The numbers of the looks of the first people, [n,N]."""
        return torch.from_numpy(self._rows("numbers", range(0, min(2 * self._growth.first, len(self)), 2)))

    def _row(self, name: str, index: int) -> np.ndarray:
        return self._pair(name, index)[index % 2]

    def _rows(self, name: str, indices: Sequence[int]) -> np.ndarray:
        return np.stack([self._row(name, index) for index in indices])

    def _pair(self, name: str, index: int) -> np.ndarray:
        with self._lock:  # batches are read ahead in a thread of their own
            self._cache.ensure(index // 2, self._draw)
        return self._cache.row(name, index // 2)

    def _draw(self, part: range) -> dict[str, np.ndarray]:
        seeds = training_seeds(self._pairs)
        rows = [_drawn(seeds[index], self._frames, self._references) for index in part]
        arrays = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        latents = [self._codec.encode(to_video(pair)).to(torch.float16).numpy() for pair in arrays["pictures"]]
        return arrays | {"latents": np.stack(latents)}


def _drawn(seed: int, frames: int, references: int) -> dict[str, np.ndarray]:
    pair = sample_pair(seed)
    clips = [
        make_clip(seed, 0, frames, SIDE, references, person, bend=bend)
        for person, bend in zip(pair.people, pair.bends, strict=True)
    ]
    if pair.kind != LOOKS:  # the first person's, whose shape they show
        clips[1] = clips[1]._replace(references=clips[0].references)
    resting = [at_rest(person, bend) for person, bend in zip(pair.people, pair.bends, strict=True)]
    both = lambda name: np.stack([getattr(clip, name) for clip in clips])  # noqa: E731
    return {
        **{name: both(name) for name in ("pictures", "references", "vertices")},
        "prompts": _as_bytes(clips[0]),
        "rest": np.stack([picture for picture, _ in resting]),
        "rest_layers": np.stack([layers for _, layers in resting]),
        "kind": np.array(pair.kind, np.uint8),
        **truth_of(pair.people),
    }


def _as_bytes(clip: Clip) -> np.ndarray:  # -> uint8 [256], padded with zeros
    text = clip.prompt.encode()
    if len(text) > _PROMPT_BYTES:
        raise ValueError(f"Expected prompts of at most {_PROMPT_BYTES} bytes, got {len(text)}: {clip.prompt}")
    return np.frombuffer(text.ljust(_PROMPT_BYTES, b"\0"), np.uint8)
