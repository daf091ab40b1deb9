"""Test cases: held-out people with references and prompts, and two samplers whose results are known.

A sampler is any callable `sample(vertices [V,3], references [R,S,S,3] uint8, prompt, seed) -> frames uint8 [T,S,S,3]`.
If it has a method `many(requests)`, this makes several clips at once. `TrueRenderer` returns the true render, so that
every instrument can be tested on it, and `through_codec` returns the codec's reconstruction of a sampler's frames.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np

from ..appearance import Appearance
from ..backdrop import BACKGROUNDS, Backdrop, sample_backdrop
from ..headshape import SHAPE_NAMES, measure
from ..motion import CAMERA_MOTIONS, FACE_MOTIONS, HEAD_MOTIONS, LIGHTS, Motion, sample_portrait
from ..person import Draw, Person, held_out_seeds, sample_person
from ..prompts import prompt_of
from ..render import render_frames

Sampler = Callable[[np.ndarray, np.ndarray, str, int], np.ndarray]
FRAMES, SIDE = 9, 64
BATCH = 32
ZOOM = 1.01
_MIDDLE = {"zoom": ZOOM}  # as in the clips that `sample_motion` draws


class SceneRequest(NamedTuple):
    vertices: np.ndarray  # [V,3]
    references: np.ndarray  # [R,S,S,3] uint8
    prompt: str
    seed: int


class Subject:
    """One held-out person: references in other poses, expressions, light and places, and a clip to be made.

    references [R,64,64,3] with their rows `reference_frames` [R,15]; `motion` before `backdrop` is what `prompt` asks
    for; `moves` False: the head looks at the camera, in front of a plain colour that differs most from skin and hair.
    """

    def __init__(self, seed: int, references: int = 1):
        self.person = sample_person(seed)
        self._draw_at = seed
        self.known: dict[str, Appearance] = {}
        self.reference_frames = np.stack([self._row(place) for place in range(references)])
        self.references = self.references_of(self.person)
        draw = Draw(seed, "evaluation")
        self.motion = Motion(
            draw.choice(tuple(HEAD_MOTIONS)), draw.choice(tuple(FACE_MOTIONS)), light=draw.choice(tuple(LIGHTS)[:4]),
            **_MIDDLE,
        )  # fmt: skip
        self.backdrop = Backdrop(draw.choice(tuple(BACKGROUNDS)))
        self.plain = Backdrop(_farthest(self.person.appearance))

    @property
    def vertices(self) -> np.ndarray:
        return self.person.vertices()

    @property
    def prompt(self) -> str:
        return prompt_of(self.motion, self.backdrop)

    @property
    def plain_prompt(self) -> str:
        """Nothing moves, the light comes from the front, the background is `plain`."""
        return prompt_of(Motion(**_MIDDLE), self.plain)

    def references_of(self, person: Person) -> np.ndarray:
        """The same pictures, of an edited `person` of the same looks: uint8 [R,64,64,3]."""
        pictures = [
            render_frames(person, row[None], sample_backdrop(Draw(self._draw_at, "evaluation place", place)), SIDE)[0]
            for place, row in enumerate(self.reference_frames)
        ]
        self.known[_digest(pictures[0])] = person.appearance
        return np.stack(pictures)

    def portraits(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Further true pictures [count,64,64,3], none of them a reference, and their rows [count,15]."""
        draws = [Draw(self._draw_at, "evaluation gallery", place) for place in range(count)]
        rows = np.stack([sample_portrait(draw) for draw in draws])
        pictures = [
            render_frames(self.person, row[None], sample_backdrop(draw), SIDE)[0]
            for row, draw in zip(rows, draws, strict=True)
        ]
        return np.stack(pictures), rows

    def _row(self, place: int) -> np.ndarray:
        return sample_portrait(Draw(self._draw_at, "evaluation reference", place))


def held_out_people(count: int = 50, start: int = 0, references: int = 1) -> list[Subject]:
    """People that no training saw. Raises ValueError for fewer than 2, for correlations need several."""
    if count < 2 or references < 1:
        raise ValueError(f"Expected at least 2 people and 1 reference each, got {count} and {references}.")
    return [Subject(seed, references) for seed in held_out_seeds(count, start)]


class TrueRenderer:
    """The sampler that is right: the shape of the vertices, the looks of the reference, the motion of the prompt.

    It knows the references of `subjects` only; ValueError for others and for prompts that nobody made.
    """

    def __init__(self, subjects: Iterable[Subject], frames: int = FRAMES):
        self._subjects, self._frames = list(subjects), frames

    def __call__(self, vertices: np.ndarray, references: np.ndarray, prompt: str, seed: int = 0) -> np.ndarray:
        person = Person(0, shape_of(vertices), self._known(references)[1])
        motion, backdrop = scene_of(prompt)
        return render_frames(person, motion.frames(self._frames), backdrop, SIDE)

    def _known(self, references: np.ndarray) -> tuple[Subject, Appearance]:
        digest = _digest(references[0])
        for subject in self._subjects:
            if digest in subject.known:
                return subject, subject.known[digest]
        raise ValueError("Expected a reference of the people that this renderer was given, got another picture.")


class BentRenderer(TrueRenderer):
    """The same for vertices that no drawn person has: the head of the subject, bent to them."""

    def __call__(self, vertices: np.ndarray, references: np.ndarray, prompt: str, seed: int = 0) -> np.ndarray:
        subject, looks = self._known(references)
        motion, backdrop = scene_of(prompt)
        bend = vertices - subject.vertices
        person = replace(subject.person, appearance=looks)
        return render_frames(person, motion.frames(self._frames), backdrop, SIDE, bend=bend)


def through_codec(sample: Sampler, codec) -> Sampler:
    """The reconstructions by `codec` (`training.models.VideoCodec`: pixels in -1..1) of the frames of `sample`."""
    import torch

    from ...files.pixels import to_video

    @torch.no_grad()
    def coded(vertices, references, prompt, seed):
        latents = codec.encode(to_video(sample(vertices, references, prompt, seed)[None]), None)
        return (codec.decode(latents)[0].clamp(0, 1) * 255).round().to("cpu", torch.uint8).numpy()

    return coded


def ask(
    sample: Sampler, requests: Sequence[SceneRequest], progress: Callable[[int, int], None] | None = None
) -> np.ndarray:
    """The answers uint8 [N,T,64,64,3]. Raises ValueError for answers of another shape."""
    answers = []
    for at in range(0, len(requests), BATCH):
        part = requests[at : at + BATCH]
        found = sample.many(part) if hasattr(sample, "many") else [sample(*request) for request in part]
        for frames in found:
            frames = np.asarray(frames)
            if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[1:] != (SIDE, SIDE, 3) or len(frames) < 2:
                raise ValueError(
                    f"Expected frames uint8 [T,{SIDE},{SIDE},3] with T > 1 from the sampler, got {frames.dtype} "
                    f"{list(frames.shape)}."
                )
            answers.append(frames)
        if progress is not None:
            progress(len(answers), len(requests))
    return np.stack(answers)


def shape_of(vertices: np.ndarray) -> tuple[float, ...]:
    """The shape parameters of a neutral head [V,3]: every one has a measure of its own, linear in the vertices."""
    zero, one = _unit_measures()
    found = np.array(list(measure(vertices).values()))
    return tuple(((found - zero) / (one - zero)).round(6).clip(-1, 1).tolist())


@cache
def scene_of(prompt: str) -> tuple[Motion, Backdrop]:
    """The motion and background that a prompt asks for, all that it does not tell being average."""
    known = _scenes()
    if prompt not in known:
        raise ValueError(f"Expected a prompt of `prompts.prompt_of`, got {prompt!r}.")
    motion, colour = known[prompt]
    return motion, Backdrop(colour)


@cache
def _scenes() -> dict[str, tuple[Motion, str]]:
    scenes = {}
    for head in HEAD_MOTIONS:
        for face in FACE_MOTIONS:
            for camera in CAMERA_MOTIONS:
                for light in LIGHTS:
                    motion = Motion(head, face, camera, light, **_MIDDLE)
                    scenes.update({prompt_of(motion, Backdrop(colour)): (motion, colour) for colour in BACKGROUNDS})
    return scenes


@cache
def _unit_measures() -> tuple[np.ndarray, np.ndarray]:
    from ..headshape import shape_vertices

    zero = np.array(list(measure(shape_vertices({})).values()))
    one = [measure(shape_vertices({name: 1.0}))[name] for name in SHAPE_NAMES]
    return zero, np.array(one)


def _farthest(look: Appearance) -> str:
    """The background whose nearest of skin, hair and clothes is farthest."""
    parts = np.array([look.skin, look.hair_colour, look.clothes])
    return max(BACKGROUNDS, key=lambda name: np.linalg.norm(parts - BACKGROUNDS[name], axis=1).min())


def _digest(picture: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(picture).tobytes()).hexdigest()
