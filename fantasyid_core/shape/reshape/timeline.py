"""The frames on their way: read ahead, seen by one thread, changed by several, and handed out in their order."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch

from ...files.pixels import as_uint8
from ...running.progress import ask
from ..reconstruct.landmark_fit import MeanHead
from .change import Changed, Person, changed_frame
from .cliphead import ClipHead, clip_head
from .edits import Asked, already_moved, only_the_rest
from .frames import Frame, checked_frames, kept_in_memory
from .meter import Meter, parts_of
from .report import FAINT, NO_FACE, ReshapedFrame, ReshapeReport
from .settings import MAX_STRENGTH, ReshapeSettings, Strength
from .smooth import AHEAD, steady
from .track import Follower, Look, Seen

WAITING = 2  # times as many frames as `head_frames` are read ahead while a person has not been seen in enough of them
MOST_BYTES = 512 * 2**20  # of frames that are read ahead


@dataclass
class _Entry:
    frame: Frame
    looking: Future

    @property
    def look(self) -> Look:
        return self.looking.result()


@dataclass
class _Clip:
    """What is known of one person's clip. rest: the sliders' values that are left to add, or None for all."""

    asked: Asked
    head: ClipHead | None = None
    displacement: np.ndarray | None = None
    meter: Meter = field(default_factory=lambda: Meter({}))
    already: dict[str, float] | None = None


class Timeline:
    """One video. `made` may be called once."""

    def __init__(self, frames, asked: list[Asked], head: MeanHead, strength: Strength, settings: ReshapeSettings,
                 count: int | None, report: ReshapeReport):  # fmt: skip
        self._source, self._in_memory = checked_frames(frames), kept_in_memory(frames)
        self._clips, self._head, self._settings, self._report = [_Clip(each) for each in asked], head, settings, report
        self._strength, self._count = strength, count
        self._follow = Follower([each.who for each in asked], settings.recognise)
        self._ahead: deque[_Entry] = deque()
        self._looks: deque[Look] = deque(maxlen=AHEAD)

    def made(self) -> Iterator[ReshapedFrame]:
        if all(clip.asked.empty or _never(self._strength) or _never(clip.asked.who.strength) for clip in self._clips):
            yield from self._as_they_came()
            return
        workers = self._settings.workers or os.cpu_count() or 1
        with _one_eye() as self._eye, _pool(workers) as hands:
            self._look_for_heads()
            waiting: deque[tuple[Frame, Future]] = deque()
            while self._read_ahead(AHEAD + 1) or waiting:
                if self._ahead:
                    waiting.append(self._started(hands))
                if len(waiting) > 2 * workers or not self._ahead:
                    ask()
                    yield self._finished(*waiting.popleft())
            self._tell()

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
            self._make_head(nth)

    def _make_head(self, nth: int) -> None:
        """Of the frames that were read."""
        points = [each.points for entry in self._ahead if isinstance(each := entry.look.people[nth], Seen)]
        if not points:
            return
        chosen = np.linspace(0, len(points) - 1, min(len(points), self._settings.head_frames)).round().astype(int)
        clip = self._clips[nth]
        clip.head = clip_head([points[index] for index in chosen], self._head)
        values, sliders = None, clip.asked.sliders
        if self._settings.already is not None and sliders is not None:
            clip.already = already_moved(sliders, clip.head.vertices, self._settings.already)
            values = only_the_rest(sliders, clip.already)
        clip.displacement = clip.asked.displacement(clip.head.vertices, values)
        clip.meter = Meter(parts_of(clip.asked, clip.head))

    def _started(self, hands: ThreadPoolExecutor) -> tuple[Frame, Future]:
        """The next frame, on its way through the workers."""
        entry = self._ahead.popleft()
        around, centre = self._around(entry)
        if entry.look.cut:
            self._report.cuts.append(entry.frame.number)
        people = [self._person(nth, around, centre, entry) for nth in range(len(self._clips))]
        self._looks.append(entry.look)
        return entry.frame, hands.submit(changed_frame, entry.frame.picture, people, self._head.faces, self._settings)

    def _around(self, entry: _Entry) -> tuple[list[Look], int]:
        """The looks at the frame and its neighbours in its scene."""
        before, after = [], []
        if not entry.look.cut:
            for look in reversed(self._looks):
                before.insert(0, look)
                if look.cut:
                    break
        for other in list(self._ahead)[:AHEAD]:
            if other.look.cut:
                break
            after.append(other.look)
        return [*before, entry.look, *after], len(before)

    def _person(self, nth: int, around: list[Look], centre: int, entry: _Entry) -> Person:
        clip = self._clips[nth]
        if clip.head is None and isinstance(entry.look.people[nth], Seen):
            self._ahead.appendleft(entry)
            self._make_head(nth)
            self._ahead.popleft()
        strength = self._at(self._strength, entry.frame.number) * self._at(clip.asked.who.strength, entry.frame.number)
        if clip.head is None or clip.displacement is None:
            return Person(None, None, 0.0, strength, NO_FACE)
        if not strength or clip.asked.empty:
            return Person(None, None, 0.0, strength, FAINT)
        found = steady([look.people[nth] for look in around], centre, self._settings.smoothing)
        return Person(clip, found.points, found.weight, strength, found.reason)

    def _at(self, strength: Strength, number: int) -> float:
        if callable(strength):
            if self._count is None:
                raise ValueError(
                    "A strength over time needs the number of frames: give `count`, or the frames as an array or list."
                )
            value = float(strength(number / max(1, self._count - 1)))
        else:
            value = float(
                strength[min(number, len(strength) - 1)]
                if isinstance(strength, (list, tuple, np.ndarray))
                else strength
            )
        if not abs(value) <= MAX_STRENGTH:
            raise ValueError(
                f"Expected a strength of -{MAX_STRENGTH:g} to {MAX_STRENGTH:g}, got {value} at frame {number}."
            )
        return value

    def _finished(self, frame: Frame, changing: Future) -> ReshapedFrame:
        changed: Changed = changing.result()
        report = self._report
        report.frames += 1
        report.treated += changed.treated
        for clip, told, each in zip(self._clips, report.people, changed.people, strict=True):
            clip.meter.added(each.strength, each.applied)
            if each.lying is None:
                told.passed[each.reason] += 1
                continue
            told.treated += 1
            if self._settings.measure_every and frame.number % self._settings.measure_every == 0:
                after = changed.picture if changed.picture.dtype == np.uint8 else as_uint8(changed.picture, "The frame")
                self._eye.submit(clip.meter.look, frame.bytes, after, each.points, each.lying, "cpu").result()
        note = "" if changed.treated else f"The frame is as it came: {changed.reason}."
        return ReshapedFrame(changed.picture, changed.mask, note)

    def _tell(self) -> None:
        for clip, told in zip(self._clips, self._report.people, strict=True):
            told.quantities = clip.meter.quantities(clip.already)


def check_strength(*strengths: Strength) -> None:
    """Raises ValueError for what is no strength."""
    for strength in strengths:
        values = (
            [0.0] if callable(strength) else strength if isinstance(strength, (list, tuple, np.ndarray)) else [strength]
        )
        real = all(isinstance(value, (int, float, np.number)) and not isinstance(value, bool) for value in values)
        if (
            not len(values)
            or not real
            or not all(math.isfinite(value) and abs(value) <= MAX_STRENGTH for value in values)
        ):
            raise ValueError(
                f"Expected a strength of -{MAX_STRENGTH:g} to {MAX_STRENGTH:g}, several of them, or a function of the "
                f"time, got {strength!r}."
            )


def _never(strength: Strength) -> bool:
    return not callable(strength) and not np.any(strength)


@contextmanager
def _pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(workers)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _one_eye() -> Iterator[ThreadPoolExecutor]:
    """One thread in which torch uses one core: the networks are small, and the other cores change frames meanwhile."""
    threads = torch.get_num_threads()
    with _pool(1) as eye:
        eye.submit(torch.set_num_threads, 1).result()
        try:
            yield eye
        finally:
            eye.submit(torch.set_num_threads, threads).result()
