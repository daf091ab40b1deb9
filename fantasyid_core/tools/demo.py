"""What the demo shows: people that FantasyID-Tiny has never seen, each as they are, with an edited face, and blended.

Every step is the one of the nodes: portrait -> face and 3D face -> edit or blend -> identity -> video.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..evaluation.pixels import pixel_measures
from ..people.columns import FRAME
from ..people.instruments.comparing import correlation, psnr, signed_change
from ..people.instruments.probe import Readings, load_probe, read
from ..people.instruments.resemblance import GALLERY
from ..people.instruments.subjects import Subject, TrueRenderer, held_out_people, scene_of
from ..people.person import HELD_OUT_FROM
from ..people.portrait import make_portrait
from ..shape.edit.blend import blend_faces
from ..shape.edit.edit import edit_face
from ..shape.edit.editstate import edit_from_values
from ..shape.faceshape import FaceShape
from ..tinymodel.sampler import TinySampler

PROMPTS = (
    "turns the head from left to right and smiles, blue background, light from the front",
    "turns the head to the left and opens the mouth, green background, light from the right",
    "turns the head from right to left and raises the brows, grey background, light from the left",
)
EDITS: dict[str, dict[str, float]] = {
    "plain": {},
    "wider face": {"face_width": 1.0},
    "sharper jaw": {"jaw_sharpness": 1.0},
}
BLENDED = "blended"
VARIANTS = (*EDITS, BLENDED)
CROWD = 50  # people among whom a clip has to find its own


class Member(NamedTuple):
    """One person of the cast: the picture, the 3D face as it is, and what shall happen."""

    seed: int
    picture: np.ndarray  # uint8 [512,512,3]
    shape: FaceShape
    prompt: str


class Take(NamedTuple):
    """One video of a member. variant: one of `VARIANTS`; shape: the face it was made from."""

    member: int
    variant: str
    shape: FaceShape
    frames: np.ndarray  # uint8 [T,64,64,3]


def make_cast(people: Sequence[int]) -> list[Member]:
    """The held-out people of these numbers (0 is the first), with a prompt each."""
    cast = []
    for place, number in enumerate(people):
        portrait = make_portrait(HELD_OUT_FROM + number)
        prompt = PROMPTS[place % len(PROMPTS)]
        cast.append(Member(HELD_OUT_FROM + number, portrait.face.crop, portrait.shape, prompt))
    return cast


def variants_of(cast: Sequence[Member], place: int) -> dict[str, FaceShape]:
    """The faces of one member: edited with the sliders, and halfway to the next member's."""
    shape, neighbour = cast[place].shape, cast[(place + 1) % len(cast)].shape
    edited = {name: edit_face(shape, edit_from_values(values)) for name, values in EDITS.items()}
    return edited | {BLENDED: blend_faces([shape, neighbour], [0.5, 0.5])}


def make_takes(cast: Sequence[Member], sampler: TinySampler, seed: int) -> list[Take]:
    """All variants of all members. The noise is the same for all, so that only the face and the prompt differ."""
    shots = [(place, *item) for place in range(len(cast)) for item in variants_of(cast, place).items()]
    requests = [
        (shape.vertices.numpy(), cast[place].picture[None], cast[place].prompt, seed) for place, _, shape in shots
    ]
    clips = sampler.many(requests)
    return [Take(*shot, frames) for shot, frames in zip(shots, clips, strict=True)]


def score_takes(cast: Sequence[Member], takes: Sequence[Take]) -> list[dict]:
    """The scores of every take, in their order; for what each means see `MEANING`."""
    probe = load_probe()
    crowd = {subject.person.seed: subject for subject in held_out_people(CROWD)}
    crowd |= {member.seed: Subject(member.seed) for member in cast if member.seed not in crowd}
    seeds = list(crowd)
    gallery = np.stack([read(probe, crowd[seed].portraits(GALLERY)[0]).vectors.mean(axis=0) for seed in seeds])
    plain: dict[int, tuple[Readings, Readings]] = {}
    rows = []
    for take in takes:
        member, subject = cast[take.member], crowd[cast[take.member].seed]
        true = _true_frames(subject, take, member.prompt)
        readings, wanted = read(probe, take.frames), read(probe, true)
        plain.setdefault(take.member, (readings, wanted))  # the first variant is the plain one
        told = {"person": member.seed, "variant": take.variant, "prompt": member.prompt}
        told |= _likeness(readings, gallery, seeds.index(member.seed), subject)
        told |= _motion(readings, take.frames, true, member.prompt)
        told |= _shape((readings, wanted), plain[take.member])
        rows.append(told | {"psnr": psnr(take.frames, true), **pixel_measures(take.frames)})
    return rows


MEANING = {
    "likeness": "cosine of the probe's vectors of the video and of other true pictures of the person; 1 is alike",
    "rank": f"place of the right person among at least {CROWD} people by that cosine; 1 is right",
    "skin_error": "mean difference of the skin's sRGB from the true one, 0..1",
    "yaw": "correlation of the head's turn in the frames with what the prompt asks for",
    "change": "correlation of the change between first and last frame with the true one",
    "face_width, jaw_sharpness": "change against the plain video, in slider units as the probe reads them; "
    "true_...: of true renders",
    "psnr": "dB against the true render of what was asked for",
}


def _true_frames(subject: Subject, take: Take, prompt: str) -> np.ndarray:
    return TrueRenderer([subject], len(take.frames))(take.shape.vertices.numpy(), subject.references, prompt)


def _likeness(readings: Readings, gallery: np.ndarray, own: int, subject: Subject) -> dict[str, float]:
    vector = readings.vectors.mean(axis=0)
    cosines = gallery @ vector / (np.linalg.norm(gallery, axis=1) * np.linalg.norm(vector))
    skin = np.abs(readings.colour("skin").mean(axis=0) - subject.person.appearance.skin).mean()
    return {
        "likeness": float(cosines[own]),
        "rank": 1 + int((cosines > cosines[own]).sum()),
        "skin_error": float(skin),
    }


def _motion(readings: Readings, frames: np.ndarray, true: np.ndarray, prompt: str) -> dict[str, float]:
    asked = scene_of(prompt)[0].frames(len(frames))[:, FRAME.index("yaw")]
    return {
        "yaw": correlation(readings.of("yaw"), asked),
        "change": correlation(signed_change(frames, True), signed_change(true, True)),
    }


def _shape(clips: tuple[Readings, Readings], plain: tuple[Readings, Readings]) -> dict[str, float]:
    """How far the video's shape and the true render's are from those of the plain one."""
    return {
        f"{who}{name}": float((edited.of(name) - as_is.of(name)).mean())
        for name in ("face_width", "jaw_sharpness")
        for who, edited, as_is in zip(("", "true_"), clips, plain, strict=True)
    }
