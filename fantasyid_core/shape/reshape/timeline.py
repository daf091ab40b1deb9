"""The frames on their way: read ahead, seen by one thread, changed by several, and handed out in their order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from ...files.pixels import as_uint8
from ...running.progress import ask
from ..reconstruct.landmark_fit import MeanHead
from .change import Changed, Person, changed_frame, placed, steadied
from .clip import PersonClip
from .edits import Asked
from .frames import Frame, checked_frames, kept_in_memory
from .report import FAINT, NO_FACE, ReshapedFrame, ReshapeReport
from .settings import ReshapeSettings, Strength
from .smooth import AHEAD, Steady, steady
from .strengths import never, strength_at
from .threads import one_eye, pool_of
from .track import Follower, Look, Seen

WAITING = 2  # times as many frames as `head_frames` are read ahead while a person has not been seen in enough of them
MOST_BYTES = 512 * 2**20  # of frames that are read ahead
NEIGHBOURS = 3  # frames to either side that tell how far the head is turned
NEAREST = 1  # and what is covered


@dataclass
class _Entry:
    """A frame that was read. placing: of each person, once it has begun; scene: frames of one scene have one number."""

    frame: Frame
    looking: Future
    placing: list[Future] = field(default_factory=list)
    scene: int = 0

    @property
    def look(self) -> Look:
        return self.looking.result()

    @property
    def people(self) -> list[Person]:
        return [each.result() for each in self.placing]


class Timeline:
    """One video. `made` may be called once."""

    def __init__(self, frames, asked: list[Asked], head: MeanHead, strength: Strength, settings: ReshapeSettings,
                 count: int | None, report: ReshapeReport):  # fmt: skip
        self._source, self._in_memory = checked_frames(frames), kept_in_memory(frames)
        self._clips, self._head = [PersonClip(each) for each in asked], head
        self._strength, self._settings, self._count, self._report = strength, settings, count, report
        self._follow = Follower([each.who for each in asked], settings.recognise, settings.device)
        self._ahead: deque[_Entry] = deque()
        self._behind: deque[_Entry] = deque(maxlen=AHEAD)  # without their frames

    def made(self) -> Iterator[ReshapedFrame]:
        if all(clip.asked.empty or never(self._strength, clip.asked.who.strength) for clip in self._clips):
            yield from self._as_they_came()
            return
        workers = self._settings.workers or os.cpu_count() or 1
        with one_eye() as self._eye, pool_of(workers) as self._hands:
            self._look_for_heads()
            waiting: deque[tuple[Frame, Future]] = deque()
            while self._read_ahead(AHEAD + NEIGHBOURS + 1) or waiting:
                if self._ahead:
                    waiting.append(self._started())
                if len(waiting) > 2 * workers or not self._ahead:
                    ask()
                    yield self._finished(*waiting.popleft())
            for clip, told in zip(self._clips, self._report.people, strict=True):
                told.quantities = clip.meter.quantities(clip.already)

    def _as_they_came(self) -> Iterator[ReshapedFrame]:
        for frame in self._source:
            ask()
            self._report.frames += 1
            yield ReshapedFrame(frame.picture, np.zeros(frame.picture.shape[:2], np.float32))

    def _read_ahead(self, count: int) -> bool:
        """Whether a frame is there, when up to `count` are read."""
        while len(self._ahead) < count and (frame := next(self._source, None)) is not None:
            self._ahead.append(_Entry(frame, self._eye.submit(self._follow, frame.bytes)))
        return bool(self._ahead)

    def _look_for_heads(self) -> None:
        """Reads ahead until every person is known well enough."""
        seen, wanted = [0] * len(self._clips), self._settings.head_frames
        read = size = 0
        while self._read_ahead(read + 1) and len(self._ahead) > read:
            ask()
            entry = self._ahead[read]
            seen = [n + isinstance(each, Seen) for n, each in zip(seen, entry.look.people, strict=True)]
            read, size = read + 1, size + entry.frame.picture.nbytes
            enough = min(seen) >= wanted or read >= WAITING * wanted or size > MOST_BYTES
            if enough and not self._in_memory:
                break
        for nth in range(len(self._clips)):
            self._learn(nth)

    def _learn(self, nth: int) -> None:
        """About a person, from the frames that were read."""
        looks = [(entry.frame.bytes, entry.look.people[nth]) for entry in self._ahead]
        seen = [(picture, each.points) for picture, each in looks if isinstance(each, Seen)]
        self._clips[nth].learn(seen, self._head, self._settings)

    def _started(self) -> tuple[Frame, Future]:
        """The next frame, on its way through the workers."""
        for index in range(min(NEIGHBOURS + 1, len(self._ahead))):
            if not self._ahead[index].placing:
                self._place(index)
        entry = self._ahead[0]
        near = [*list(self._behind)[-NEIGHBOURS:], *list(self._ahead)[: NEIGHBOURS + 1]]
        near = [other for other in near if other.scene == entry.scene]
        close = [other.people for other in near if abs(other.frame.number - entry.frame.number) <= NEAREST]
        around = [[each.scores for each in person if each.scores is not None] for person in zip(*close, strict=True)]
        people = [steadied(*person) for person in zip(entry.people, *(other.people for other in near), strict=True)]
        changing = self._hands.submit(changed_frame, entry.frame, people, around, self._head.faces, self._settings)
        self._ahead.popleft()
        self._behind.append(
            _Entry(Frame(entry.frame.number, *[np.empty(0)] * 2), entry.looking, entry.placing, entry.scene)
        )
        return entry.frame, changing

    def _place(self, index: int) -> None:
        """Begins to place the people in the frame that was read as number `index`."""
        entry, before = self._ahead[index], self._ahead[index - 1] if index else (self._behind or [None])[-1]
        entry.scene = 0 if before is None else before.scene + entry.look.cut
        if entry.look.cut:
            self._report.cuts.append(entry.frame.number)
        around, centre = self._around(index)
        entry.placing = [self._placing(nth, entry, around, centre) for nth in range(len(self._clips))]

    def _around(self, index: int) -> tuple[list[Look], int]:
        """The looks at a frame and its neighbours in its scene."""
        looks = [entry.look for entry in (*self._behind, *list(self._ahead)[: index + AHEAD + 1])]
        centre = len(self._behind) + index
        first = next((nth for nth in range(centre, -1, -1) if looks[nth].cut), 0)
        last = next((nth for nth in range(centre + 1, len(looks)) if looks[nth].cut), len(looks))
        return looks[first:last], centre - first

    def _placing(self, nth: int, entry: _Entry, around: list[Look], centre: int) -> Future:
        clip, number = self._clips[nth], entry.frame.number
        if clip.head is None and isinstance(entry.look.people[nth], Seen):
            self._learn(nth)
        strength = strength_at(self._strength, number, self._count) * strength_at(
            clip.asked.who.strength, number, self._count
        )
        if clip.head is None or clip.asked.empty or not strength:
            return _known(Person(None, strength, NO_FACE if clip.head is None else FAINT))
        found: Steady = steady([look.people[nth] for look in around], centre, self._settings.smoothing)
        if found.points is None:
            return _known(Person(clip, strength, found.reason))
        return self._hands.submit(placed, entry.frame, clip, found.points, found.weight, strength)

    def _finished(self, frame: Frame, changing: Future) -> ReshapedFrame:
        changed: Changed = changing.result()
        report, device = self._report, self._settings.device
        report.frames += 1
        report.treated += changed.treated
        for clip, told, each in zip(self._clips, report.people, changed.people, strict=True):
            clip.meter.added(each.strength, each.applied)
            if each.lying is None:
                told.passed[each.reason] += 1
                continue
            told.treated += 1
            if self._settings.measure_every and frame.number % self._settings.measure_every == 0:
                after = as_uint8(changed.picture, "The frame") if frame.bytes is not frame.picture else changed.picture
                self._eye.submit(clip.meter.look, frame.bytes, after, each.points, each.lying, device).result()
        note = "" if changed.treated else f"The frame is as it came: {changed.people[0].reason}."
        return ReshapedFrame(changed.picture, changed.mask, note, changed.movement)


def _known(person: Person) -> Future:
    ready: Future = Future()
    ready.set_result(person)
    return ready
