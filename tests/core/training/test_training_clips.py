"""Clips: order and shares, the caches on disk, own heads, and the index of real videos."""

from __future__ import annotations

import sys
import types
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from PIL import Image
from trainingtools import NoiseSource

from fantasyid_core.files.pixels import to_video
from fantasyid_core.people.person import sample_person, sample_twin
from fantasyid_core.training.batches import batches, generator, order
from fantasyid_core.training.clipcache import ClipCache
from fantasyid_core.training.config import DataSettings, IdentitySettings
from fantasyid_core.training.index_source import IndexSource, fill, read_index
from fantasyid_core.training.latents import LatentRows
from fantasyid_core.training.people_source import PeopleSource
from fantasyid_core.videofile import save_video


def test_each_epoch_has_every_clip_once_in_an_order_of_its_own():
    first, second = order(0, 7, 7, seed=1), order(7, 7, 7, seed=1)
    assert sorted(first) == sorted(second) == list(range(7)) and first != second
    assert order(3, 8, 7, seed=1) == [*first[3:], *second[:4]]
    assert order(0, 7, 7, seed=2) != first


def test_clips_that_stand_together_stay_together():
    places = order(0, 8, 8, seed=1, together=2)
    assert sorted(places) == list(range(8)) and places[1::2] == [i + 1 for i in places[::2]]
    assert all(i % 2 == 0 for i in places[::2]) and places != sorted(places)
    assert order(4, 8, 8, seed=1, together=2)[:4] == places[4:]


def test_processes_share_a_micro_batch_and_together_read_what_one_would():
    alone = [names(batch) for _, batch in islice(batches(NoiseSource(), 0, 4, 2), 3)]
    shares = [[names(batch) for _, batch in islice(batches(NoiseSource(), 0, 2, 2, (rank, 2)), 3)] for rank in range(2)]
    assert [a + b for a, b in zip(*shares, strict=True)] == alone


def names(batch):
    return list(batch.names)


def test_batches_from_the_middle_are_those_of_the_whole():
    whole = list(islice(batches(NoiseSource(), 5, 2, 0), 6))
    for (number, batch), (expected, other) in zip(islice(batches(NoiseSource(), 5, 2, 3), 3), whole[3:], strict=True):
        assert number == expected and batch.names == other.names
        assert np.array_equal(batch.references, other.references)


def test_random_numbers_depend_on_seed_purpose_and_place_alone():
    draws = [generator(*key).random() for key in ((0, "a", 1), (0, "a", 2), (0, "b", 1), (1, "a", 1))]
    assert len(set(draws)) == 4 and generator(0, "a", 1).random() == draws[0]


def test_an_interrupted_cache_goes_on_and_a_damaged_part_is_made_again(tmp_path):
    made = []

    def make(part):
        if part.start == 8 and len(made) < 3:
            raise KeyboardInterrupt
        made.append(part.start)
        return {"x": np.arange(part.start, part.stop), "y": np.ones((len(part), 2), np.float16)}

    cache = ClipCache(tmp_path / "c", 10, chunk=4)
    with pytest.raises(KeyboardInterrupt):
        cache.build(make)
    assert made == [0, 4]
    made.append("again")
    cache.build(make)
    assert made == [0, 4, "again", 8]
    assert cache.rows("x", [9, 0, 4]).tolist() == [9, 0, 4] and cache.row("y", 3).tolist() == [1, 1]
    with pytest.raises(IndexError, match="clips 0 to 9, not 10"):
        cache.row("x", 10)
    content = bytearray((tmp_path / "c" / "x-00001.npy").read_bytes())
    content[-1] ^= 1
    (tmp_path / "c" / "x-00001.npy").write_bytes(content)
    fresh = ClipCache(tmp_path / "c", 10, chunk=4)
    fresh.build(make)
    assert made == [0, 4, "again", 8, 4] and fresh.row("x", 5) == 5


def fake_clip(seed, number, frames, size, references, person=None):
    """Pictures that tell whose they are, in place of rendered ones, whose renderer takes long to compile."""
    from fantasyid_core.people.clips import Clip

    random = np.random.default_rng([seed, number, person is not None])
    pictures, views = (random.integers(0, 256, (n, size, size, 3), np.uint8) for n in (frames, references))
    vertices = (person or sample_person(seed)).vertices()
    rest = np.zeros(24), np.zeros((frames, 15)), np.zeros((references, 15)), "blue", seed, number
    return Clip(pictures, views, f"clip {number} of {seed} nods", vertices, *rest)


@pytest.fixture(scope="module", autouse=True)
def fake_renderer():
    from fantasyid_core.people import clips

    def make(seed, number, *rest, **_):
        return fake_clip(seed, number, *rest[:4])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clips, "make_clip", make)
        yield


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    cache = str(tmp_path_factory.mktemp("heads"))
    data = DataSettings(kind="heads", cache=cache, clips=6, people=4, held_out=2, workers=1)
    source = PeopleSource(data, IdentitySettings())
    source.build()
    return data, source


def test_own_heads_are_rendered_once_and_read_as_they_are(heads):
    data, source = heads
    batch = source.batch([5, 0], np.random.default_rng(0))
    clip = fake_clip(1, 1, 9, 64, 3)  # clip 5 of 4 people: the second of person 1
    assert batch.names == ["person 1 clip 1", "person 0 clip 0"] and batch.texts[0] == clip.prompt
    assert np.array_equal(batch.pictures[0], clip.pictures) and np.array_equal(batch.first[0], clip.pictures[0])
    assert np.array_equal(batch.vertices[0], clip.vertices)
    assert any(np.array_equal(batch.references[0], view) for view in clip.references)
    again = PeopleSource(data, IdentitySettings())
    again._cache.build(lambda part: pytest.fail("rendered again"))


def test_the_view_is_random_but_the_same_for_the_same_numbers(heads):
    _, source = heads
    views = {source.batch([0], np.random.default_rng(seed)).references.tobytes() for seed in range(20)}
    assert len(views) == 3
    one, two = (source.batch([0], np.random.default_rng(7)).references for _ in range(2))
    assert np.array_equal(one, two)


def test_without_multi_view_the_reference_is_a_frame_of_the_clip(heads):
    data, _ = heads
    source = PeopleSource(data, IdentitySettings(reference="own frame"))
    source.build()
    batch = source.batch([2], np.random.default_rng(3))
    assert any(np.array_equal(batch.references[0], frame) for frame in batch.pictures[0])


def test_every_clip_is_followed_by_its_twin(tmp_path):
    """Everything is the same but one parameter of the shape; whose face it is comes from the same pictures."""
    data = DataSettings(kind="heads", cache=str(tmp_path), clips=8, people=3, twins=True, held_out=2, workers=1)
    source = PeopleSource(data, IdentitySettings())
    source.build()
    plain = PeopleSource(replace(data, twins=False), IdentitySettings())
    assert len(source) == 8 and source.fingerprint != plain.fingerprint
    batch = source.batch([2, 3, 6, 7], np.random.default_rng(1))
    assert batch.names == ["person 1 clip 0", "person 1 clip 0 (twin)", "person 0 clip 1", "person 0 clip 1 (twin)"]
    assert batch.texts[::2] == batch.texts[1::2]
    assert np.array_equal(batch.references[::2], batch.references[1::2])
    assert np.array_equal(batch.vertices[0], sample_person(1).vertices())
    assert np.array_equal(batch.vertices[1], sample_twin(sample_person(1)).vertices())
    assert np.array_equal(batch.vertices[3], sample_twin(sample_person(0), 1).vertices())
    clip = fake_clip(1, 0, 9, 64, 3, sample_twin(sample_person(1)))
    assert np.array_equal(batch.pictures[1], clip.pictures) and not np.array_equal(*batch.pictures[:2])
    held_out = PeopleSource(data, IdentitySettings(), held_out=True)
    assert len(held_out) == 2 and held_out.together == 1


def test_held_out_people_never_train(heads):
    data, source = heads
    held_out = PeopleSource(data, IdentitySettings(), held_out=True)
    held_out.build()
    assert len(held_out) == 2
    assert held_out.fingerprint != source.fingerprint
    assert all("person 10000000" in name for name in held_out.batch([0, 1], np.random.default_rng(0)).names)


class HalvingCodec:
    """Latents are the pictures' means, so that what is cached can be told."""

    fingerprint = "halving"

    def to(self, device):
        return self

    def encode(self, pixels, noise=None):
        return pixels.mean(dim=(3, 4), keepdim=True).transpose(1, 2)


def test_latents_are_encoded_once_and_take_the_place_of_pictures(heads, tmp_path):
    _, source = heads
    rows = LatentRows(source, HalvingCodec(), tmp_path)
    rows.build(torch.device("cpu"))
    expected = HalvingCodec().encode(to_video(source.pictures(3)[None]))[0]
    np.testing.assert_allclose(rows.rows([3])[0], expected.numpy(), atol=1e-3)
    again = LatentRows(source, HalvingCodec(), tmp_path)
    again._encode = lambda *_: pytest.fail("encoded again")
    again.build(torch.device("cpu"))


def test_latents_that_are_not_finite_are_refused(heads, tmp_path):
    class Broken(HalvingCodec):
        def encode(self, pixels, noise=None):
            return super().encode(pixels) / 0

    with pytest.raises(RuntimeError, match="clips 0 to 5 made NaN"):
        LatentRows(heads[1], Broken(), tmp_path).build(torch.device("cpu"))


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder with two clips in one video, its index, and a stand-in for pyarrow that reads JSON."""
    import json

    frames = np.zeros((24, 40, 60, 3), np.uint8)
    frames[..., 0] = (10 * np.arange(24))[:, None, None]
    save_video(frames, tmp_path / "v.mp4", crf=0)
    Image.new("RGB", (50, 50), (9, 8, 7)).save(tmp_path / "a.png")
    Image.new("RGB", (50, 50), (200, 0, 0)).save(tmp_path / "own.png")
    np.save(tmp_path / "shape.npy", np.random.default_rng(0).uniform(-0.1, 0.1, (642, 3)).astype(np.float32))
    base = {"video": "v.mp4", "frames": 9, "caption": "nods", "references": ["a.png"], "vertices": "shape.npy"}
    rows = [
        base | {"name": "one", "start": 2, "step": 2, "own_crop": "own.png"},
        base | {"name": "two", "start": 10, "step": 1, "own_crop": "own.png"},
        base | {"name": "short", "start": 0, "frames": 5},
    ]

    def store(rows, name="index-00000.parquet"):
        (tmp_path / name).write_text(json.dumps(rows))

    class Table:
        def __init__(self, path):
            self.rows = json.loads(path.read_text())

        def to_pylist(self):
            return self.rows

    parquet = types.SimpleNamespace(read_table=Table)
    monkeypatch.setitem(sys.modules, "pyarrow", types.SimpleNamespace(parquet=parquet))
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", parquet)
    store(rows)
    return tmp_path, rows, store


def make_index(folder, held_out=False, **identity):
    data = DataSettings(folder=str(folder), held_out=1)
    return IndexSource(data, IdentitySettings(**identity), (9, 32, 48), 642, held_out, face_size=20)


def test_a_clip_of_the_index_is_cut_from_its_video(index):
    source, held_out = make_index(index[0]), make_index(index[0], held_out=True)
    assert (len(source), len(held_out), source.too_short) == (1, 1, 1)
    batch = source.batch([0], np.random.default_rng(0))
    assert batch.names == ["one"] and batch.texts == ["nods"] and batch.pictures.shape == (1, 9, 32, 48, 3)
    reds = batch.pictures[0, :, 16, 24, 0].astype(int)
    assert np.abs(reds - np.arange(20, 200, 20)).max() <= 6
    assert batch.references.shape == (1, 20, 20, 3) and (batch.references == (9, 8, 7)).all()
    assert batch.vertices.shape == (1, 642, 3) and np.array_equal(batch.first, batch.pictures[:, 0])
    own = make_index(index[0], reference="own frame").batch([0], np.random.default_rng(0))
    assert (own.references == (200, 0, 0)).all()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"video": "gone.mp4"}, "Clip one: There is no video"),
        ({"start": 20}, "Clip one: expected 9 frames from 20 on"),
        ({"references": ["gone.png"]}, "Clip one: .*gone.png"),
        ({"vertices": "gone.npy"}, "Clip one: "),
    ],
)
def test_a_clip_whose_files_do_not_fit_is_named(index, change, expected):
    folder, rows, store = index
    store([rows[0] | change, rows[1]])
    with pytest.raises(ValueError, match=f"(?s){expected}.*take it out of the index"):
        make_index(folder).batch([0], np.random.default_rng(0))


def test_shapes_of_another_mesh_are_refused(index):
    folder, rows, _ = index
    np.save(folder / "shape.npy", np.zeros((700, 3), np.float32) + np.arange(700)[:, None] * 1e-4)
    with pytest.raises(ValueError, match="Clip one: .*642"):
        make_index(folder).batch([0], np.random.default_rng(0))


def test_an_index_that_cannot_be_used_is_refused(index):
    folder, rows, store = index
    with pytest.raises(FileNotFoundError, match="no such folder"):
        read_index(folder / "nowhere")
    (folder / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no index-.*parquet in it"):
        read_index(folder / "empty")
    for content, expected in (
        ([], "lists no clips"),
        ([{"name": "x"}], "lacks the columns video, start"),
        ([rows[0] | {"references": []}], "no reference pictures for one"),
        ([rows[0], rows[0]], "names clips twice: one"),
    ):
        store(content)
        with pytest.raises(ValueError, match=expected):
            read_index(folder)
    store([rows[2]])
    with pytest.raises(ValueError, match="of 1 clips 1 are shorter than the 9 frames"):
        make_index(folder)
    store([rows[0] | {"vertices": None}])
    with pytest.raises(ValueError, match="1 have no 3D face.*DECA and FLAME"):
        make_index(folder)
    store([rows[0], rows[1] | {"vertices": None}, rows[1] | {"name": "three"}])
    assert make_index(folder).without_shape == 1
    store([row | {"own_crop": None} for row in rows])
    with pytest.raises(ValueError, match="needs the column own_crop"):
        make_index(folder, reference="own frame")
    (folder / "index-00000.parquet").write_text("no parquet")
    with pytest.raises(ValueError, match="not a readable parquet file"):
        read_index(folder)


def test_the_index_without_pyarrow_says_what_to_install(index, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(RuntimeError, match="pip install pyarrow"):
        read_index(index[0])


@pytest.mark.parametrize("shape", [(40, 60), (100, 30), (480, 720), (7, 9)])
def test_pictures_fill_the_size_without_being_stretched(shape):
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    picture = np.stack([rows * 255 / shape[0], columns * 255 / shape[1], 0 * rows], -1).astype(np.uint8)
    filled = fill(picture, 32, 48)
    assert filled.shape == (32, 48, 3)
    middle = filled[12:20, 20:28].astype(float).mean(axis=(0, 1))
    assert np.abs(middle[:2] - 127).max() < 20
