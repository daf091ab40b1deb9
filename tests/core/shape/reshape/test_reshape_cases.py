"""Videos that are hard to reshape: what cannot be treated is passed on bit for bit, and counted."""

from __future__ import annotations

import numpy as np
import pytest
from kept import PICTURES

pytest.importorskip("numba", reason="drawing people needs numba: pip install numba")

from fantasyid_core.experiments.reshape_cases import BAR, bar_of, draw_case
from fantasyid_core.experiments.reshape_sheets import save_rows
from fantasyid_core.shape.reshape import PersonEdit, ReshapeReport, reshape_frames
from fantasyid_core.shape.reshape.report import NO_FACE, TURNED

SIZE, COUNT, EDIT = 192, 24, {"face_width": 0.8, "jaw_width": -0.4}


@pytest.fixture
def reshaped(request):
    """reshaped(frames, edit) -> (frames, masks, report); a sheet of the frames is kept for people to look at."""

    def reshaped(frames, edit=EDIT, **options):
        report = ReshapeReport()
        made = list(reshape_frames(frames, edit, report=report, **options))
        pictures = np.stack([each.picture for each in made])
        save_rows([frames, pictures], ["before", "reshaped"], PICTURES / f"reshape_{request.node.name}.png")
        return pictures, np.stack([each.mask for each in made]), report

    return reshaped


def changed(ours: np.ndarray, before: np.ndarray) -> np.ndarray:  # -> [T], mean of 255
    return np.abs(ours.astype(np.int16) - before).mean(axis=(1, 2, 3))


def test_a_bar_before_the_face_stays_where_it_is(reshaped):
    frames, where = draw_case("bar", SIZE, COUNT), bar_of(SIZE, COUNT)
    ours, _, _ = reshaped(frames)
    away = np.abs(ours.astype(np.int16) - BAR).max(axis=3)
    assert (away[where] > 40).mean() < 0.03, "the bar is bent"
    assert (changed(ours, frames) > 0.3).sum() > COUNT / 2, "the face beside the bar is changed"


def test_a_profile_fades_out_and_in_without_a_jump(reshaped):
    frames = draw_case("profile", SIZE, COUNT)
    ours, masks, report = reshaped(frames)
    sideways = slice(COUNT // 2 - 2, COUNT // 2 + 2)
    assert np.array_equal(ours[sideways], frames[sideways]) and not masks[sideways].any()
    (person,) = report.people
    assert person.passed[TURNED] + person.passed[NO_FACE] >= 4 and person.treated >= COUNT // 3
    area = masks.mean(axis=(1, 2))
    assert area[0] > 0.2 and area[-1] > 0.2 and np.abs(np.diff(area)).max() < 0.08


def test_a_cut_is_found_and_the_next_scene_has_its_own_person(reshaped):
    frames = draw_case("cut", SIZE, COUNT)
    ours, _, report = reshaped(frames)
    assert report.cuts == [COUNT // 2]
    moved = changed(ours, frames)
    assert moved[COUNT // 2 - 1] > 0.1 and moved[COUNT // 2] > 0.05, "no frame beside the cut is left out"


def test_a_lost_face_costs_its_frames_only(reshaped):
    frames = draw_case("lost", SIZE, COUNT)
    ours, masks, report = reshaped(frames)
    gone = slice(COUNT // 3, 2 * (COUNT // 3))
    assert np.array_equal(ours[gone], frames[gone]) and not masks[gone].any()
    assert report.people[0].passed[NO_FACE] == COUNT // 3
    assert report.frames == COUNT and report.treated == COUNT - COUNT // 3
    assert any(f"{COUNT // 3} frames were passed on" in sentence for sentence in report.sentences())


def test_two_people_get_their_own_edits_in_one_pass(reshaped):
    frames = draw_case("two", SIZE, 8)
    edits = [PersonEdit({"face_width": 0.8}, how="left to right", number=nth) for nth in (0, 1)]
    both, _, report = reshaped(frames, edits)
    first, _, _ = reshaped(frames, edits[0])
    left, right = (slice(None), slice(None), slice(0, SIZE)), (slice(None), slice(None), slice(SIZE, None))
    assert [person.treated for person in report.people] == [8, 8]
    assert np.array_equal(first[right], frames[right]) and (first[left] != frames[left]).any()
    assert np.abs(both[left].astype(int) - first[left]).mean() < 0.05 and (both[right] != frames[right]).any()
