"""The cascade in NumPy: the same windows pass as in the library that ships it, however they are cut into pieces."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fantasyid_core.face.detectors import cascade
from fantasyid_core.face.detectors.cascade import scan, scan_levels, scan_tiles

data = pytest.importorskip("skimage.data", reason="scikit-image is not installed: there is no cascade to evaluate")


@pytest.fixture(scope="module")
def samples():
    """np.uint8 [200,31,31]: 100 faces, then 100 that are none."""
    small = np.load(Path(data.lbp_frontal_face_cascade_filename()).with_name("lfw_subset.npy"))
    return np.pad((small * 255).astype(np.uint8), ((0, 0), (3, 3), (3, 3)), mode="edge")


def grey(size):
    return np.asarray(Image.fromarray(data.astronaut()).convert("L").resize(size, Image.Resampling.BILINEAR))


def corners(ys, xs):
    return sorted(zip(ys.tolist(), xs.tolist(), strict=True))


def test_windows_are_those_of_the_library_that_ships_the_cascade(samples):
    from skimage.feature import Cascade

    theirs = Cascade(str(data.lbp_frontal_face_cascade_filename()))
    only = dict(scale_factor=2.0, step_ratio=1, min_size=(24, 24), max_size=(25, 25), min_neighbor_number=0)
    differing, found = 0, []
    for sample in samples:
        ys, xs = scan(sample)
        found.append(len(ys) > 0)
        # Theirs leaves out the last row and column, and rounds the sums to 32-bit floats.
        mine = ((ys < sample.shape[0] - 24) & (xs < sample.shape[1] - 24)).any()
        differing += mine != bool(theirs.detect_multi_scale(sample, **only))
    assert differing <= 4
    assert sum(found[:100]) >= 90 and sum(found[100:]) == 0


def passes(window):
    """The published cascade for one window np.uint8 [24,24], written out."""
    around = [(0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0)]
    for threshold, weaks in cascade.load_stages():
        total = 0.0
        for (x, y, w, h), leaf_of_code in weaks:
            grid = window[y : y + 3 * h, x : x + 3 * w].astype(int)
            sums = grid.reshape(3, h, 3, w).sum(axis=(1, 3))
            total += leaf_of_code[sum((sums[place] >= sums[1, 1]) << 7 - nth for nth, place in enumerate(around))]
        if total < threshold - 1e-6:
            return False
    return True


def test_windows_are_those_of_the_definition():
    picture = grey((128, 128))[10:50, 35:75]
    places = [(y, x) for y in range(17) for x in range(17)]
    expected = [(y, x) for y, x in places if passes(picture[y : y + 24, x : x + 24])]
    assert expected and corners(*scan(picture)) == expected


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_several_pictures_give_what_each_gives_alone(samples, stride, monkeypatch):
    monkeypatch.setattr(cascade, "BAND", 1500)
    faces = Image.fromarray(np.hstack(samples[:12]))  # 372 x 31 pixels
    levels = [np.asarray(faces.resize((round(372 * zoom), round(31 * zoom)))) for zoom in (1.6, 1.2, 1, 0.9, 0.8)]
    nth, ys, xs = scan_levels(levels, stride)
    assert len(set(nth.tolist())) >= 3
    for index, level in enumerate(levels):
        mine = nth == index
        every = [(y, x) for y, x in corners(*scan(level)) if y % stride == x % stride == 0]
        assert corners(ys[mine], xs[mine]) == every == corners(*scan(level, stride))


@pytest.mark.parametrize("stride", [1, 2])
def test_tiles_give_what_each_gives_alone(samples, stride):
    nth, ys, xs = scan_tiles(samples[:120], stride)
    assert len(nth) > 50
    for index, sample in enumerate(samples[:120]):
        assert corners(ys[nth == index], xs[nth == index]) == corners(*scan(sample, stride))


def test_pictures_smaller_than_a_window_have_none():
    assert [len(some) for some in scan(np.zeros((23, 100), np.uint8))] == [0, 0]
    assert [len(some) for some in scan(np.full((24, 24), 9, np.uint8))] == [0, 0]
