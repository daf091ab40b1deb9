"""The renderer against brute force and closed forms, and what a picture must show. Compiles once, about 10 seconds."""

from __future__ import annotations

import importlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("numba", reason="numba is absent: the renderer of the project's own heads needs it")

from fantasyid_core.people import compiling  # noqa: E402
from fantasyid_core.people.appearance import Appearance  # noqa: E402
from fantasyid_core.people.backdrop import Backdrop  # noqa: E402
from fantasyid_core.people.clips import make_clip, make_clips  # noqa: E402
from fantasyid_core.people.columns import LAYERS  # noqa: E402
from fantasyid_core.people.hair import HAIR_STYLES  # noqa: E402
from fantasyid_core.people.motion import Motion, frame_row  # noqa: E402
from fantasyid_core.people.person import Person, sample_person  # noqa: E402
from fantasyid_core.people.raster_kernels import VISIBLE  # noqa: E402
from fantasyid_core.people.render import NO_REGION, render_frames, render_maps  # noqa: E402
from fantasyid_core.people.surface_regions import REGIONS, five_points, landmark_vertices, region_of_vertices
from fantasyid_core.shape.draw.raster import rasterise  # noqa: E402
from fantasyid_core.shape.ownhead.mesh import head_mesh  # noqa: E402

BALD = Person(0, (0.0,) * 24, Appearance(hair_style="bald", iris=(0.1, 0.2, 0.9), lashes=0.0))
FRONT = {"light_turn": 0.0, "light_rise": 10.0}


def rows(*values: dict) -> np.ndarray:
    return np.array([frame_row(**(FRONT | one)) for one in values])


def one_picture(person: Person = BALD, size: int = 64, samples: int = 2, backdrop=None, **values: float) -> np.ndarray:
    return render_frames(person, rows(values), backdrop, size, samples)[0].astype(float)


def one_map(person: Person = BALD, size: int = 64, **values: float):
    return type(maps := render_maps(person, rows(values), size))(*(part[0] for part in maps))


def layer(maps, name: str) -> np.ndarray:
    return maps.layers == LAYERS.index(name)


def test_depth_and_triangles_agree_with_brute_force():
    """The head alone, against the NumPy rasteriser of `shape`."""
    maps = one_map(size=96, yaw=25, pitch=-8, roll=5, mouth_open=0.5, smile=0.7)
    index, weights = rasterise(maps.points, maps.vertex_depth, head_mesh().faces, (96, 96), backfaces=False)
    skin = layer(maps, "skin") | layer(maps, "lips") | layer(maps, "eyes") | layer(maps, "brows") | layer(maps, "mouth")
    assert (skin[:80] == (index[:80] >= 0)).mean() > 0.999  # above the collar
    head = (index >= 0) & (maps.triangles >= 0)
    assert (index == maps.triangles)[head].mean() > 0.995
    expected = (maps.vertex_depth[head_mesh().faces[index]] * weights).sum(axis=-1)
    np.testing.assert_allclose(maps.depth[head], expected[head], atol=2e-4)
    assert np.isnan(maps.depth[maps.layers == 0]).all()


def test_points_are_the_posed_vertices():
    """Rotation about the neck's pivot, written out; x to the right, y down, whole numbers in pixels' middles."""
    yaw, pitch, roll = 30.0, 12.0, -7.0
    maps = one_map(size=128, yaw=yaw, pitch=pitch, roll=roll, zoom=1.1, shift_x=0.05, shift_y=-0.03)
    (cy, cp, cr), (sy, sp, sr) = (f(np.deg2rad([yaw, pitch, -roll])) for f in (np.cos, np.sin))
    around_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    around_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    around_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    pivot = np.array([0, -98.0, -22.0])
    posed = (head_mesh().template * 1000 - pivot) @ (around_z @ around_y @ around_x).T + pivot
    scale = 1.1 * 128 / VISIBLE
    middle = np.array([0.55 * 128 - 0.5, 0.47 * 128 - 0.5])
    expected = middle + (posed[:, :2] - (0, -1)) * (scale, -scale)
    rigid = head_mesh().template[:, 1] > -0.114
    np.testing.assert_allclose(maps.points[rigid], expected[rigid], atol=1e-2)
    np.testing.assert_allclose(maps.vertex_depth[rigid], posed[rigid, 2] / 1000, atol=1e-4)
    assert maps.scale == pytest.approx(scale * 1000)


def test_turns_go_where_their_signs_say():
    eye_left, eye_right, nose, _, _ = five_points(one_map(yaw=30).points)
    assert nose[0] > (eye_left[0] + eye_right[0]) / 2 + 2  # to the right of the picture
    rest, down = (five_points(one_map(pitch=pitch).points) for pitch in (0, 20))
    assert down[2, 1] - down[:2, 1].mean() > rest[2, 1] - rest[:2, 1].mean() + 1  # the nose moves down
    eye_left, eye_right, *_ = five_points(one_map(roll=20).points)
    assert eye_right[1] > eye_left[1] + 2  # clockwise


def test_the_neck_turns_less_than_the_head_and_the_shoulders_not_at_all():
    rest, turned = one_map(), one_map(yaw=40)
    moved = np.linalg.norm(turned.points - rest.points, axis=1)
    bottom = head_mesh().template[:, 1] < -0.175
    assert moved[bottom].max() < 0.05 and moved[landmark_vertices()[30]] > 8


def test_the_same_arguments_give_the_same_bytes():
    person = sample_person(11)
    first, second = (render_frames(person, Motion("nod", "talk").frames(9), Backdrop("red")) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    one_by_one = [render_frames(person, row[None], Backdrop("red"))[0] for row in Motion("nod", "talk").frames(9)]
    np.testing.assert_array_equal(first, one_by_one)


@pytest.mark.parametrize("seed", [1, 7, 11])
def test_a_small_picture_is_the_large_one_seen_from_afar(seed):
    person, row = sample_person(seed), rows({"yaw": 15, "smile": 1.0})
    small = render_frames(person, row, size=64)[0].astype(float)
    large = render_frames(person, row, size=512, samples=3)[0].astype(float)
    shrunk = large.reshape(64, 8, 64, 8, 3).mean(axis=(1, 3))
    assert abs(small - shrunk).mean() < 2.0
    assert np.corrcoef(small.ravel(), shrunk.ravel())[0, 1] > 0.98  # thin frames of glasses differ most


def test_edges_are_antialiased():
    white = Backdrop("white")
    exact = one_picture(size=32, samples=8, backdrop=white)
    rough, fine = (abs(one_picture(size=32, samples=n, backdrop=white) - exact).mean() for n in (1, 2))
    assert fine < 0.6 * rough
    picture = one_picture(samples=4, backdrop=Backdrop("black"), light_power=1.0)[20:40].mean(axis=-1)
    first = (picture > 32).argmax(axis=1)  # black is 26; the first pixel of the head in every row, from the left
    outline, within = picture[np.arange(20), first], picture[np.arange(20), first + 2]
    assert ((outline < 0.8 * within) & (outline > 33)).mean() > 0.4  # most are covered in part
    assert np.ptp(outline / within) > 0.4


def test_the_backdrop_stays_what_it_is():
    backdrop = Backdrop("teal", fade=0.4, angle=30)
    picture, maps = one_picture(backdrop=backdrop), one_map()
    behind = layer(maps, "background")
    inner = behind & np.roll(behind, 1, 0) & np.roll(behind, -1, 0) & np.roll(behind, 1, 1) & np.roll(behind, -1, 1)
    assert inner.sum() > 500
    np.testing.assert_allclose(picture[inner], backdrop.picture(64)[inner] * 255, atol=0.51)


def test_a_symmetric_person_gives_a_symmetric_picture():
    picture = one_picture(size=128, samples=4)
    difference = abs(picture - picture[:, ::-1]).max(axis=-1)
    assert np.median(difference) <= 1 and (difference > 12).mean() < 0.01  # the lights in the eyes lie on one side


@pytest.mark.parametrize("seed", range(6))
def test_eyes_and_mouth_are_readable_at_64_pixels(seed):
    person = sample_person(seed)
    person = replace(person, appearance=replace(person.appearance, glasses="none"))
    picture, maps = one_picture(person), one_map(person)
    grey = picture.mean(axis=-1)
    eye_left, eye_right, nose, *_ = five_points(maps.points).round().astype(int)
    cheek = grey[nose[1] - 2 : nose[1] + 1, nose[0] + 8 : nose[0] + 11]
    for x, y in (eye_left, eye_right):
        around = grey[y - 2 : y + 3, x - 4 : x + 5]
        assert np.ptp(around) > 70 and np.ptp(around) > 2 * np.ptp(cheek)  # white, iris, lashes
    assert layer(maps, "eyes").sum() >= 14 and layer(maps, "lips").sum() >= 12
    assert layer(maps, "brows").sum() >= 4


def test_the_iris_has_its_colour_and_lids_hide_it():
    eyes = five_points(one_map(size=256).points)[:2].round().astype(int)
    for blink, blue in ((0.0, True), (1.0, False)):
        picture = one_picture(size=256, blink=blink)
        for x, y in eyes:
            around = picture[y - 6 : y + 7, x - 9 : x + 10]
            assert ((around[..., 2] > around[..., 0] + 30).sum() > 20) == blue
    assert layer(one_map(size=128, blink=1.0), "eyes").sum() < 0.1 * layer(one_map(size=128), "eyes").sum()


def test_eyes_follow_the_gaze():
    """Where the blue is: to the right of the picture for 1."""
    places = []
    for gaze in (-1.0, 1.0):
        picture, eyes = one_picture(size=256, gaze_x=gaze), layer(one_map(size=256, gaze_x=gaze), "eyes")
        blue = eyes & (picture[..., 2] > picture[..., 0] + 20)
        places.append(np.nonzero(blue)[1].mean())
    assert places[1] > places[0] + 4


def test_an_open_mouth_shows_its_inside_and_keeps_the_lips():
    shut, open_ = one_map(size=256), one_map(size=256, mouth_open=1.0)
    assert layer(shut, "mouth").sum() == 0 and layer(open_, "mouth").sum() > 250
    height = lambda maps, x: layer(maps, "lips")[:, x].sum()  # noqa: E731
    assert abs(height(open_, 128) - height(shut, 128)) <= 3  # not stretched into the gap
    inside = one_picture(size=256, mouth_open=1.0)[layer(open_, "mouth")].mean(axis=-1)
    assert inside.min() < 70 and inside.max() > 170  # the dark, and teeth


def test_light_comes_from_where_it_stands():
    for turn, brighter in ((50.0, 1), (-50.0, -1)):
        picture = one_picture(light_turn=turn).mean(axis=-1)
        skin = layer(one_map(), "skin")
        left, right = (picture[:, half][skin[:, half]].mean() for half in (slice(0, 32), slice(32, 64)))
        assert brighter * (right - left) > 15
    above, front = (one_picture(light_rise=rise).mean(axis=-1) for rise in (65.0, 0.0))
    chin = np.s_[46:50, 28:36]
    assert above[10:16, 28:36].mean() > above[chin].mean() + 25
    assert one_picture(light_power=0.4).mean() < one_picture(light_power=1.0).mean() - 10
    assert front[chin].mean() > above[chin].mean()


def test_a_wider_face_is_wider_in_the_picture():
    width = lambda maps: np.ptp(np.nonzero(layer(maps, "skin")[int(five_points(maps.points)[2, 1])])[0])  # noqa: E731
    narrow, wide = (one_map(BALD.edited(face_width=amount), size=256) for amount in (-1.0, 1.0))
    expected = 2 * 0.0148 * narrow.scale  # both sides, what `measure` says
    assert abs((width(wide) - width(narrow)) - expected) < 0.45 * expected
    assert np.ptp(wide.points[:, 1]) == pytest.approx(np.ptp(narrow.points[:, 1]), rel=1e-3)


def test_regions_are_those_of_the_nearest_vertices():
    maps = one_map(size=128)
    on_head = maps.regions != NO_REGION
    np.testing.assert_array_equal(on_head, maps.triangles >= 0)
    pixel = np.argwhere(on_head)[:, ::-1]
    for x, y in pixel[:: len(pixel) // 60]:
        corners = head_mesh().faces[maps.triangles[y, x]]
        nearest = corners[np.linalg.norm(maps.points[corners] - (x, y), axis=1).argmin()]
        assert maps.regions[y, x] in region_of_vertices()[corners]
        if len(set(region_of_vertices()[corners])) == 1:
            assert maps.regions[y, x] == region_of_vertices()[nearest]
    seen = {REGIONS[index] for index in np.unique(maps.regions[on_head])}
    assert {"nose", "eye left", "upper lip", "chin", "ear right", "neck", "scalp"} <= seen


@pytest.mark.parametrize(
    "change",
    [*({"hair_style": style} for style in HAIR_STYLES if style != "bald"),
     *({"beard": beard} for beard in ("full", "goatee", "moustache")),
     *({"glasses": glasses} for glasses in ("round", "square", "wide")),
     *({"collar": collar} for collar in ("pointed", "high", "striped")),
     {"freckles": 1.0}, {"lines": 1.0}, {"blush": 1.0}, {"brow_thickness": 1.0}, {"eye_openness": 1.0}],
    ids=lambda change: "-".join(map(str, *change.items())),
)  # fmt: skip
def test_every_trait_can_be_seen(change):
    base = replace(BALD, appearance=replace(BALD.appearance, blush=0.2, hair_colour=(0.8, 0.5, 0.1), eye_openness=0.2))
    plain, other = (one_picture(p) for p in (base, replace(base, appearance=replace(base.appearance, **change))))
    changed = abs(plain - other).max(axis=-1)
    assert (changed > 6).sum() >= 6
    assert (changed > 1).mean() < 0.75


def test_hair_is_in_front_of_the_scalp_from_all_sides():
    for style in ("short", "afro", "long", "wavy", "fringed bob"):
        person = replace(BALD, appearance=replace(BALD.appearance, hair_style=style))
        for yaw in (0, 60, 120, 180):
            maps = one_map(person, size=96, yaw=yaw)
            crown = maps.points[head_mesh().template[:, 1] > 0.1].round().astype(int)
            assert layer(maps, "hair")[crown[:, 1].clip(0, 95), crown[:, 0]].mean() > 0.99, (style, yaw)


def test_a_clip_is_what_its_seed_and_number_say():
    clip, again, next_ = make_clip(5), make_clip(5), make_clip(5, number=1)
    assert clip.pictures.shape == (9, 64, 64, 3) and clip.pictures.dtype == np.uint8
    assert clip.references.shape == (3, 64, 64, 3) and clip.reference_frames.shape == (3, 15)
    assert clip.vertices.shape == head_mesh().template.shape and clip.vertices.dtype == np.float32
    np.testing.assert_array_equal(clip.pictures, again.pictures)
    np.testing.assert_array_equal(clip.references, again.references)
    np.testing.assert_array_equal(clip.vertices, next_.vertices)
    assert (clip.pictures != next_.pictures).any() and (clip.references != next_.references).any()
    assert clip.background in clip.prompt and clip.prompt == again.prompt


@pytest.mark.parametrize("frames", [1, 9, 13, 17, 49])
def test_clips_of_every_length_and_any_size(frames):
    clip = make_clip(8, frames=frames, size=48, references=0)
    assert clip.pictures.shape == (frames, 48, 48, 3) and clip.references.shape == (0, 48, 48, 3)
    np.testing.assert_array_equal(clip.pictures[0], make_clip(8, size=48).pictures[0])


def test_an_edited_person_keeps_motion_and_scene():
    person = sample_person(6)
    plain, wide = make_clip(6), make_clip(6, person=person.edited(face_width=1.0))
    assert plain.prompt == wide.prompt and (plain.frames == wide.frames).all()
    np.testing.assert_array_equal(plain.pictures[:, 0, 0], wide.pictures[:, 0, 0])  # a corner: backdrop
    assert wide.shape[0] == 1.0 and (plain.pictures != wide.pictures).any()
    turned = make_clip(6, motion=Motion("turn left"))
    assert turned.prompt.startswith("turns the head to the left") and turned.background == plain.background


def test_many_clips_in_threads_are_the_same_clips():
    clips = make_clips([3, 1_000_000_004, 3], [0, 2, 1], workers=3)
    assert clips.pictures.shape == (3, 9, 64, 64, 3) and len(clips.prompts) == 3
    for row, (seed, number) in enumerate([(3, 0), (1_000_000_004, 2), (3, 1)]):
        clip = make_clip(seed, number)
        np.testing.assert_array_equal(clips.pictures[row], clip.pictures)
        np.testing.assert_array_equal(clips.references[row], clip.references)
        assert (clips.prompts[row], clips.seeds[row], clips.numbers[row]) == (clip.prompt, seed, number)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: render_frames(BALD, np.zeros((2, 9))), r"frames \[T,15\] with T > 0 \(yaw, .*got \[2, 9\]"),
        (lambda: render_frames(BALD, np.zeros((0, 15))), r"got \[0, 15\]"),
        (lambda: render_frames(BALD, rows({}) * np.nan), "NaN or infinite numbers in row 0"),
        (lambda: render_frames(BALD, rows({"zoom": 0.0})), r"zoom in 0\.05\.\.50, got 0"),
        (lambda: render_frames(BALD, rows({}), size=0), r"side in pixels in 1\.\.4096, got 0"),
        (lambda: render_frames(BALD, rows({}), size=64.0), "got 64.0"),
        (lambda: render_frames(BALD, rows({}), samples=9), r"number of samples in 1\.\.8, got 9"),
        (lambda: render_maps(BALD, rows({}), size=5000), "got 5000"),
        (lambda: make_clip(1, number=-1), "got -1 and 3"),
        (lambda: make_clips([]), "got 0 and 0"),
        (lambda: make_clips([1, 2], [0]), "got 2 and 1"),
    ],
)
def test_bad_requests_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_without_numba_the_error_says_what_to_install(monkeypatch):
    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(RuntimeError, match="numba, which is not installed.*pip install numba"):
        compiling.numba()


def test_a_folder_that_cannot_be_written_only_costs_the_cache(monkeypatch):
    numba = compiling.numba()

    def njit(**options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(numba, "njit", njit)
    assert compiling.compiled_once(lambda number: abs(number))(-2) == 2


def test_the_cache_knows_every_file_that_is_compiled(tmp_path, monkeypatch):
    digests = [compiling.sources_digest()]
    monkeypatch.setattr(compiling, "__file__", str(tmp_path / "compiling.py"))
    for name, content in (("a_kernels.py", "1"), ("a_kernels.py", "2"), ("columns.py", "3"), ("expression.py", "4")):
        (tmp_path / name).write_text(content)
        digests.append(compiling.sources_digest())
    assert len(set(digests)) == len(digests)


def test_another_process_compiles_nothing_anew():
    frames = rows({})
    render_frames(BALD, frames), render_maps(BALD, frames)  # now both are kept on disk
    script = (
        "from fantasyid_core.people import frame_kernels, person, render\n"
        "from fantasyid_core.people.motion import frame_row\n"
        "bald, frames = person.sample_person(1), [frame_row()]\n"
        "render.render_frames(bald, frames), render.render_maps(bald, frames)\n"
        "for kernel in (frame_kernels.render_kernel, frame_kernels.maps_kernel):\n"
        "    print(sum(kernel.stats.cache_hits.values()), sum(kernel.stats.cache_misses.values()))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["1", "0", "1", "0"], done.stderr


def test_what_one_name_of_the_package_keeps_compiled_does_not_disturb_another(tmp_path):
    """ComfyUI loads the package under a name of its own, from the same folder as the command line does."""
    import os
    import subprocess
    import sys
    from pathlib import Path

    import fantasyid_core

    root = Path(fantasyid_core.__file__).parent
    code = (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location(sys.argv[1], {str(root / '__init__.py')!r},"
        f" submodule_search_locations=[{str(root)!r}])\n"
        "package = sys.modules[sys.argv[1]] = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(package)\n"
        "clips = importlib.import_module(sys.argv[1] + '.people.clips')\n"
        "print(clips.make_clip(1, frames=1, references=0).pictures.sum())\n"
    )
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "numba")}
    answers = [
        subprocess.run(
            [sys.executable, "-c", code, name], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        for name in ("fantasyid_core", "another_name", "fantasyid_core")
    ]
    assert [answer.returncode for answer in answers] == [0, 0, 0], answers[1].stderr[-2000:]
    assert len({answer.stdout for answer in answers}) == 1 and list((tmp_path / "numba").rglob("*.nbi"))
