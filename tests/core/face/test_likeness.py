"""ArcFace vectors: the alignment against insightface's own, and small ONNX models of the real one's interface."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from fantasyid_core.face import likeness
from fantasyid_core.face.likeness import ARCFACE_TEMPLATE, Likeness, arcface_crop, has_likeness, load_likeness

onnx = pytest.importorskip("onnx", reason="onnx is not installed: no small model can be written")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: nothing to run ArcFace with")
face_align = pytest.importorskip("insightface.utils.face_align", reason="insightface is not installed")

PLACE = "insightface/models/antelopev2/glintr100.onnx"


def noise(seed=0, height=300, width=340):
    y, x = np.mgrid[:height, :width]
    waves = [np.sin((x + seed * 9) / 17 + y / 31), np.cos(x / 23 - y / (19 + seed)), np.sin(y / 13 + seed)]
    return (127 + 100 * np.stack(waves, -1)).astype(np.uint8)


def points_at(scale, degrees, shift):
    angle = np.deg2rad(degrees)
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    rng = np.random.default_rng(int(degrees) % 97)
    return ((ARCFACE_TEMPLATE - 56) @ turn + shift + rng.normal(0, scale, (5, 2))).astype(np.float32)


def write_model(path, side=112, outputs=((1, 512),), weights=None, batch=1):
    """One matrix product over the pixels seen 16 times smaller, with the interface of the real files."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    coarse = 3 * (side // 16) ** 2
    initial = [onnx.numpy_helper.from_array(np.array([1, coarse], np.int64), "flat")]
    nodes = [
        helper.make_node("AveragePool", ["input.1"], ["pooled"], kernel_shape=[16, 16], strides=[16, 16]),
        helper.make_node("Reshape", ["pooled", "flat"], ["row"]),
    ]
    for index, shape in enumerate(outputs):
        matrix = np.random.default_rng(index).normal(size=(coarse, shape[-1])) if weights is None else weights
        initial.append(onnx.numpy_helper.from_array(np.asarray(matrix, np.float32), f"weight{index}"))
        nodes.append(helper.make_node("MatMul", ["row", f"weight{index}"], [f"out{index}"]))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("input.1", kind, [batch, 3, side, side])],
        [helper.make_tensor_value_info(f"out{i}", kind, shape) for i, shape in enumerate(outputs)],
        initial,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / PLACE)
    return folder


@pytest.mark.filterwarnings("ignore::FutureWarning")  # insightface calls what scikit-image will rename
@pytest.mark.parametrize("scale, degrees, shift", [(1, 0, (150, 120)), (2.3, 33, (160, 150)), (0.4, -160, (20, 30))])
def test_alignment_equals_insightfaces(scale, degrees, shift):
    np.testing.assert_allclose(ARCFACE_TEMPLATE, face_align.arcface_dst, atol=1e-5)
    picture, points = noise(), points_at(scale, degrees, shift)
    theirs = face_align.norm_crop(picture, points)
    ours = arcface_crop(picture, points)
    assert ours.shape == (112, 112, 3) and ours.std() > 30
    # Their matrix passes through another solver, so a weight may round to the next of 32 steps.
    difference = np.abs(ours.astype(int) - theirs)
    assert (difference == 0).mean() > 0.995 and difference.max() <= 6


def test_vector_is_what_the_network_gives_for_the_aligned_face(models):
    picture, points = noise(), points_at(1.4, 12, (160, 140))
    vector = load_likeness(folders=[models]).embed(picture, points)
    assert vector.shape == (512,) and vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
    values = (arcface_crop(picture, points).astype(np.float64) - 127.5) / 127.5  # RGB, as insightface feeds it
    coarse = values.reshape(7, 16, 7, 16, 3).mean(axis=(1, 3)).transpose(2, 0, 1).reshape(-1)
    expected = coarse @ np.random.default_rng(0).normal(size=(147, 512))
    np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=1e-5)


def test_cosines_tell_pictures_apart_but_not_where_the_face_is(models):
    embed = load_likeness(folders=[models]).embed
    picture, points = noise(), points_at(1.4, 0, (160, 140))
    own, moved = embed(picture, points), embed(np.roll(picture, (20, 30), (0, 1)), points + (30, 20))
    assert own @ moved > 0.999
    assert own @ embed(noise(4), points) < 0.9


def test_file_is_found_by_path_and_in_folders_and_read_once(models):
    by_path, by_folder = load_likeness(models / PLACE), load_likeness(folders=[models])
    assert by_path is by_folder and isinstance(by_path, Likeness)
    assert has_likeness([models])


def test_a_replaced_file_is_read_again(tmp_path):
    path, points = write_model(tmp_path / "glintr100.onnx"), points_at(1.4, 0, (160, 140))
    before = load_likeness(path).embed(noise(), points)
    write_model(path, weights=np.random.default_rng(9).normal(size=(147, 512)))
    assert abs(before @ load_likeness(path).embed(noise(), points)) < 0.9


def test_files_with_a_free_batch_size_are_taken(tmp_path):
    load_likeness(write_model(tmp_path / "w600k_r50.onnx", batch="None"))


def test_a_missing_file_is_named_with_its_source(tmp_path):
    assert not has_likeness([tmp_path])
    with pytest.raises(FileNotFoundError, match="glintr100.onnx .*is missing: .*[Gg]et it from https://.*put it into"):
        load_likeness(folders=[tmp_path])
    with pytest.raises(FileNotFoundError, match="There is no file .*nowhere.onnx. The model file glintr100"):
        load_likeness(tmp_path / "nowhere.onnx")


@pytest.mark.parametrize(
    "options",
    [
        dict(side=640, outputs=((1, 1), (1, 4), (1, 10))),  # as a detector
        dict(side=192, outputs=((1, 212),)),  # as the landmarks beside it
        dict(outputs=((1, 512), (1, 512))),
        dict(outputs=((1, 256),)),
    ],
)
def test_another_kind_of_model_is_refused(tmp_path, options):
    path = write_model(tmp_path / PLACE, **options)
    with pytest.raises(ValueError, match=r"another kind: expected one input \[1, 3, 112, 112\].*[Gg]et it from https"):
        load_likeness(path)


@pytest.mark.parametrize("keep", [0, 100, 0.5])
def test_a_damaged_file_is_refused(models, tmp_path, keep):
    path = tmp_path / "glintr100.onnx"
    content = (models / PLACE).read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    with pytest.raises(ValueError, match="cannot be read as an ONNX model .*Delete it and get it from https"):
        load_likeness(path)


@pytest.mark.parametrize("weights", [np.zeros((147, 512)), np.full((147, 512), np.nan)])
def test_a_model_without_a_finite_vector_is_refused(tmp_path, weights):
    model = load_likeness(write_model(tmp_path / "glintr100.onnx", weights=weights))
    with pytest.raises(RuntimeError, match="vector of 512 numbers and length .*expected 512 finite numbers"):
        model.embed(noise(), points_at(1.4, 0, (160, 140)))


@pytest.mark.parametrize("package", ["insightface", "onnxruntime", "onnx"])
def test_a_missing_package_is_named_with_the_command(models, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    assert not has_likeness([models])
    message = f"needs the package {package}, which is not installed. Run: .* -m pip install {package}"
    with pytest.raises(RuntimeError, match=message):
        load_likeness(folders=[models])


def test_a_broken_package_is_explained(models, monkeypatch):
    likeness._load.cache_clear()
    monkeypatch.setitem(sys.modules, "insightface.model_zoo.arcface_onnx", None)
    with pytest.raises(RuntimeError, match="insightface is installed but cannot be imported .*--force-reinstall"):
        load_likeness(folders=[models])


def test_bad_pictures_and_points_are_refused(models):
    embed = load_likeness(folders=[models]).embed
    with pytest.raises(ValueError, match=r"np.uint8 \[H,W,3\] RGB"):
        embed(np.zeros((50, 50)), points_at(1, 0, (60, 60)))
    with pytest.raises(ValueError, match="coincide or lie on one line"):
        embed(noise(), np.full((5, 2), 7.0))
    with pytest.raises(ValueError, match="do not fit a face"):
        embed(noise(), ARCFACE_TEMPLATE * 1e9)
