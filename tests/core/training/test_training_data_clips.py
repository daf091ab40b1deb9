"""Of one video: which clips are taken, which are not and why, and what is written of them."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from facevideos import (
    FRAMES,
    GREY,
    RIM,
    SETTINGS,
    cut,
    faults,
    find,
    painted_tools,
    picture,
    texture,
    tinted,
    walk,
    write,
)
from PIL import Image

from fantasyid_core.face.likeness import Likeness
from fantasyid_core.training.data.finding import find_videos
from fantasyid_core.training.data.settings import PrepareSettings
from fantasyid_core.training.data.state import read_state
from fantasyid_core.training.data.tools import load_tools
from fantasyid_core.training.data.video import prepare_video
from fantasyid_core.training.data.window import window_around
from fantasyid_core.videofile import read_video


def test_a_clip_with_all_that_belongs_to_it(tmp_path):
    state = cut(tmp_path, walk(FRAMES, texture(1)))
    (clip,), folder = state["clips"], tmp_path / "out"
    assert state["skipped"] is None and not state["rejected"] and not state["problems"]
    assert (clip["start"], clip["frames"], clip["step"], clip["vertices"]) == (0, 9, 1, None)
    assert read_video(folder / clip["video"]).shape == (9, 96, 144, 3)
    track = np.load(folder / clip["faces"])
    assert {name: track[name].shape for name in track.files} == {
        "boxes": (9, 4), "points": (9, 5, 2), "scores": (9,), "poses": (9, 3), "seen": (9,)
    }  # fmt: skip
    assert track["seen"].tolist() == [True, False, False, False] * 2 + [True]
    for frame, box in zip(read_video(folder / clip["video"]), track["boxes"], strict=True):
        rim = (np.abs(frame.astype(int) - RIM).max(axis=2) < 90).nonzero()
        seen = [rim[1].min(), rim[0].min(), rim[1].max(), rim[0].max()]
        assert np.abs(box - seen).max() <= 1.6  # between the finds it is interpolated
    assert np.all(np.diff(track["poses"][:, 0]) > 0) and clip["score"] == pytest.approx(0.95)


def test_the_views_are_the_most_different_poses(tmp_path):
    settings = replace(SETTINGS, every=1, views=3)
    state = cut(tmp_path, walk(FRAMES, texture(1)), settings)
    (clip,) = state["clips"]
    crops = [np.array(Image.open(tmp_path / "out" / name)) for name in clip["references"]]
    assert len(crops) == 3 and crops[0].shape == (64, 64, 3)
    cyan = [(crop[..., 1] > 170) & (crop[..., 0] < 110) for crop in crops]
    places = [mask.nonzero()[1].mean() for mask in cyan]  # where the nose is: frontal, then both extremes
    assert abs(places[0] - 32) < 3 and min(places[1:]) < 27 and max(places[1:]) > 36
    own = [name for name in clip["references"] if name == clip["own_crop"]]
    assert len(own) == 1 and places[clip["references"].index(own[0])] < 27  # the earliest of them


def test_without_poses_the_views_are_spread_over_the_clip(tmp_path):
    def approximate(image):
        return [replace(face, exact_points=False, yaw=None, pitch=None, roll=None) for face in find(image)]

    settings = replace(SETTINGS, every=1, views=3)
    (clip,) = cut(tmp_path, walk(FRAMES, texture(1)), settings, replace(painted_tools(settings), find=approximate))[
        "clips"
    ]
    assert len(set(clip["references"])) == 3
    assert np.isnan(np.load(tmp_path / "out" / clip["faces"])["poses"]).all()


def test_clips_end_at_scene_cuts_and_do_not_overlap(tmp_path):
    other = (30, 60, 30)
    scenes = [walk(40, texture(1)), walk(70, texture(2), background=other), walk(10, texture(3))]
    state = cut(tmp_path, sum(scenes, []))
    starts = [clip["seconds"] for clip in state["clips"]]
    assert starts == [0.0, 1.75, 2.875]  # the second scene begins with the source's frame 40, so at frame 42
    assert faults(state) == ["short scene"] and state["rejected"][0]["from"] > 4.5
    for clip, background in zip(state["clips"], (GREY, other, other), strict=True):
        corner = read_video(tmp_path / "out" / clip["video"])[:, -12:, :12].reshape(-1, 3)
        assert np.abs(corner.mean(axis=0) - background).max() < 6 and corner.std(axis=0).max() < 6


def test_another_person_in_the_same_place_is_seen_in_the_colours(tmp_path):
    state = cut(tmp_path, walk(40, tinted(120, 60, 10)) + walk(40, tinted(10, 40, 110), start=40))
    assert faults(state) == ["jump"] and len(state["clips"]) == 2
    assert "becomes another" in state["rejected"][0]["detail"]
    first, second = (clip["seconds"] for clip in state["clips"])
    assert first == 0 and second == pytest.approx(1.75, abs=0.126)


def still(face, count=FRAMES, **options):
    return [picture(face, **options)] * count


SMALL = cv2.resize(texture(1), (24, 24), interpolation=cv2.INTER_AREA)
SOFT = cv2.GaussianBlur(texture(1), (0, 0), 8)
BAD = {
    "no face": [picture()] * FRAMES,
    "several faces": [picture((20, 40, 0, texture(1)), (140, 40, 0, texture(2)))] * FRAMES,
    "unsure face": still((60, 40, 0, SMALL)),
    "dark": still((60, 40, 0, texture(1, 0.1))),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_clips_are_refused_with_the_reason(tmp_path, kind):
    settings = replace(SETTINGS, min_light=60.0)
    state = cut(tmp_path, BAD[kind], settings)
    assert faults(state) == [kind] and not state["clips"], state
    assert state["rejected"][0]["detail"] and Image.open(tmp_path / "out" / state["rejected"][0]["strip"]).height == 90


def inner(image):
    """Faces whose box leaves out the rim, which is always sharp and bright."""
    return [replace(face, box=face.box + np.float32([8, 8, -8, -8])) for face in find(image)]


def test_points_that_no_face_has_are_a_reason_and_no_crash(tmp_path):
    def collapsed(image):
        return [replace(face, points=np.zeros((5, 2), np.float32)) for face in find(image)]

    tools = replace(painted_tools(SETTINGS), find=collapsed)
    state = cut(tmp_path, walk(FRAMES, texture(1)), tools=tools)
    assert faults(state) == ["no view"] and "coincide" in state["rejected"][0]["detail"]


def test_a_video_that_goes_away_in_the_middle_is_skipped(tmp_path):
    write(tmp_path / "in" / "v.mp4", walk(FRAMES, texture(1)))
    (video,) = find_videos(tmp_path / "in")
    video.path.unlink()
    state = prepare_video(video, tmp_path / "out", SETTINGS, painted_tools(SETTINGS), "f")
    assert "No such file" in state["skipped"]


@pytest.mark.parametrize(
    ("kind", "face", "change"),
    [
        ("blurred", SOFT, {"min_sharpness": 12.0}),
        ("small face", texture(1), {"min_face": 60}),
        ("bright", texture(1), {"max_light": 50.0}),
        ("still", texture(1), {"min_motion": 0.2}),
    ],
)
def test_each_filter_takes_what_its_limit_allows(tmp_path, kind, face, change):
    pictures = [picture((60, 40, 0, face))] * FRAMES
    settings = replace(SETTINGS, **change)
    state = cut(tmp_path, pictures, settings, replace(painted_tools(settings), find=inner))
    assert faults(state) == [kind], state
    relaxed = replace(SETTINGS, min_sharpness=0.0)
    assert len(cut(tmp_path, None, relaxed, replace(painted_tools(settings), find=inner))["clips"]) == 1


def test_a_sharp_face_passes_where_the_blurred_one_does_not(tmp_path):
    settings = replace(SETTINGS, min_sharpness=12.0, min_motion=0.2)
    tools = replace(painted_tools(settings), find=inner)
    (clip,) = cut(tmp_path, walk(FRAMES, texture(1)), settings, tools)["clips"]
    assert clip["sharpness"] > 12 and clip["motion"] > 0.2


def test_small_background_faces_do_not_count_as_a_second_person(tmp_path):
    crowd = [picture((40, 40, 0, texture(1)), (180, 10, 0, SMALL))] * FRAMES
    assert len(cut(tmp_path, crowd)["clips"]) == 1
    assert faults(cut(tmp_path, None, replace(SETTINGS, rival=0.05))) == ["several faces"]


def test_the_next_clip_begins_behind_the_last_bad_frame(tmp_path):
    """A face that is gone for a moment costs no more than the frames up to there."""
    pictures = walk(72, texture(1))
    for place in range(9, 15):
        pictures[place] = picture()
    state = cut(tmp_path, pictures, replace(SETTINGS, every=1))
    assert faults(state) == ["no face"] and state["rejected"][0]["to"] == 0.5
    assert [clip["seconds"] for clip in state["clips"]] == [0.625, 1.75]


def test_every_frame_is_searched_once_at_most(tmp_path):
    seen = []

    def counting(image):
        seen.append(image.tobytes())
        return find(image)

    tools = replace(painted_tools(SETTINGS), find=counting)
    cut(tmp_path, walk(81, texture(1)), tools=tools)
    assert len(seen) == 9  # 27 frames at 8 per second, three of each nine
    pictures = walk(72, texture(1))
    pictures[12] = picture()
    seen.clear()
    state = cut(tmp_path, pictures, replace(SETTINGS, every=1), tools)
    assert len(state["clips"]) == 2 and len(seen) == len(set(seen)) == 19  # also those of the clip that failed


def test_a_fast_face_is_looked_for_in_all_frames_between(tmp_path):
    pictures = [picture((20 + 40 * (t // 9 % 2), 40, 0, texture(1))) for t in range(FRAMES)]
    (clip,) = cut(tmp_path, pictures)["clips"]
    assert np.load(tmp_path / "out" / clip["faces"])["seen"].sum() > 5


def test_the_clip_is_cut_to_the_models_shape_around_the_face(tmp_path):
    tall = [picture((50, 300, 0, texture(1)), width=160, height=400)] * FRAMES
    (clip,) = cut(tmp_path, tall)["clips"]
    frames = read_video(tmp_path / "out" / clip["video"])
    assert frames.shape[1:3] == (96, 144)
    box = np.load(tmp_path / "out" / clip["faces"])["boxes"][0]
    middle = (box[:2] + box[2:]) / 2
    assert abs(middle[1] - 48) < 3 and abs(np.float32(frames[0])[round(middle[1]) - 20, round(middle[0])].std()) < 80
    assert faults(cut(tmp_path, None, replace(SETTINGS, height=32, width=320))) == ["cut off"]


def test_windows_stay_in_the_picture_and_are_never_enlarged():
    boxes = np.array([[0, 0, 40, 40], [10, 5, 50, 45]], float)
    window = window_around(boxes, (200, 301), (96, 144))
    assert (window.left, window.top) == (0, 0) and (window.height, window.width) == (200, 300)
    assert window.out == (144, 96)
    np.testing.assert_allclose(window.moved(np.array([[-0.5, -0.5], [299.5, 199.5]])), [[-0.5, -0.5], [143.5, 95.5]])
    assert window_around(boxes, (60, 90), (96, 144)).out == (90, 60)
    assert window_around(np.array([[0, 0, 40, 190.0]]), (200, 100), (96, 144)) is None


def test_damage_in_the_middle_leaves_nothing_of_the_video(tmp_path, monkeypatch):
    path = write(tmp_path / "in" / "v.mp4", walk(96, texture(0)))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    state = cut(tmp_path, None)
    assert "cut off after" in state["skipped"] or "cannot be read" in state["skipped"]
    assert not state["clips"] and not state["files"] and not list((tmp_path / "out").rglob("*.mp4"))


class ByColour:
    """A stand-in for ArcFace: the mean colour of the face's middle, less grey."""

    def get_feat(self, images):
        vector = np.zeros((1, 512))
        vector[0, :3] = images[0][30:80, 30:80].reshape(-1, 3).mean(axis=0) - 70
        return vector


def test_a_face_that_becomes_another_persons_slowly_is_seen_by_arcface(tmp_path):
    one, other = tinted(150, 10, 10), tinted(10, 10, 150)
    blend = [(one * (1 - t) + other * t).astype(np.uint8) for t in np.linspace(0, 1, FRAMES)]
    pictures = [picture((60, 40, 0.0, face)) for face in blend]
    tools = painted_tools(SETTINGS, likeness=Likeness(ByColour()))
    settings = replace(SETTINGS, every=8, views=2)
    assert faults(cut(tmp_path, pictures, settings, tools)) == ["another person"]
    steady = cut(tmp_path, walk(FRAMES, one), SETTINGS, tools)
    assert not steady["rejected"]


def test_views_of_the_same_person_are_shared_between_clips_of_a_video(tmp_path):
    one, other, grey = tinted(150, 10, 10), tinted(10, 10, 150), (30, 60, 30)
    scenes = [walk(FRAMES, one), walk(FRAMES, other, background=grey), walk(FRAMES, one)]
    settings = replace(SETTINGS, view_from="video", views=4)
    tools = painted_tools(settings, likeness=Likeness(ByColour()))
    first, second, third = cut(tmp_path, sum(scenes, []), settings, tools)["clips"]
    assert first["references"] == third["references"] and len(first["references"]) == 4
    assert not set(first["references"]) & set(second["references"])
    assert {name.split("/")[-1][:4] for name in first["references"]} == {"0000", "0002"}
    assert first["own_crop"].split("/")[-1].startswith("0000") and third["own_crop"].split("/")[-1].startswith("0002")


def test_the_state_counts_only_while_everything_is_as_it_was(tmp_path):
    state = cut(tmp_path, walk(FRAMES, texture(1)))
    (video,), out = find_videos(tmp_path / "in"), tmp_path / "out"
    assert read_state(out, video, "f") == state
    assert read_state(out, video, "other settings") is None
    clip = out / state["clips"][0]["video"]
    content = clip.read_bytes()
    clip.write_bytes(content[:-1])
    assert read_state(out, video, "f") is None
    clip.write_bytes(content)
    assert read_state(out, video, "f") == state
    path = out / "state" / f"{video.name}.json"
    for text in ("", "[]", "{}", json.dumps(state)[:-20], json.dumps(state | {"files": 3})):
        path.write_text(text)
        assert read_state(out, video, "f") is None
    path.write_text(json.dumps(state))
    video.path.write_bytes(video.path.read_bytes() + b"x")
    assert read_state(out, find_videos(tmp_path / "in")[0], "f") is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": 1}, "frames: expected 2 to"),
        ({"fps": float("nan")}, "fps: expected"),
        ({"confidence": 1.5}, "confidence: expected 0 to 1, got 1.5"),
        ({"detector": "none"}, "detector: expected one of auto"),
        ({"height": 481}, "even height and width"),
        ({"text": "opencv"}, "needs text_model"),
        ({"view_from": "folder"}, "view_from: expected one of clip, video"),
    ],
)
def test_settings_out_of_range_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        PrepareSettings(**change)


def test_tools_say_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises((FileNotFoundError, RuntimeError), match="(?i)arcface|glintr100|insightface"):
        load_tools(replace(SETTINGS, detector="mediapipe", view_from="video", models=(str(tmp_path),)))
