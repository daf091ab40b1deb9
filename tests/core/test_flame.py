"""FLAME on a synthetic model of its structure: the formula, closed forms, the file, what is refused."""

import io
import os
import pickle
import struct
import sys
import types

import numpy as np
import pytest
import torch

from fantasyid_core.shape import FlameModel, load_flame, synthetic_head
from fantasyid_core.shape.skinning import rotation_matrices

ORIGIN = r"https://flame\.is\.tue\.mpg\.de: register"
COUNT = 162  # vertices of the synthetic head
TREE = np.array([[2**32 - 1, 0, 1, 1, 1], [0, 1, 2, 3, 4]], dtype=np.uint32)
GLOBAL, NECK, JAW, LEFT_EYE, RIGHT_EYE = range(5)


def make_content(seed=0):
    """What a FLAME file holds, in plain arrays, for a head of 162 vertices that is nobody."""
    draw = np.random.default_rng(seed)
    vertices, faces = synthetic_head(2)
    weights = draw.random((COUNT, 5)) * (draw.random((COUNT, 5)) < 0.5)
    weights[:, GLOBAL] += 0.1
    weights[:8] = np.eye(5)[JAW]  # these follow the jaw alone
    regressor = draw.random((5, COUNT)) * (draw.random((5, COUNT)) < 0.1) + 1e-3
    return {
        "v_template": vertices.double().numpy(),
        "shapedirs": draw.normal(size=(COUNT, 3, 400)) * 0.001,
        "posedirs": draw.normal(size=(COUNT, 3, 36)) * 0.001,
        "J_regressor": regressor / regressor.sum(axis=1, keepdims=True),
        "kintree_table": TREE.copy(),
        "weights": weights / weights.sum(axis=1, keepdims=True),
        "f": faces.numpy().astype(np.uint32),
        "bs_type": "lrotmin",
        "bs_style": "lbs",
    }


def write_npz(path, content):
    np.savez(path, **content)
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_npz(tmp_path_factory.mktemp("flame") / "flame.npz", make_content())


@pytest.fixture(scope="module")
def flame(path):
    return load_flame(path, COUNT, torch.float64)


def draw_coefficients(batch=3, seed=1, angle=0.6):
    draw = torch.Generator().manual_seed(seed)
    sizes = {"shape": 300, "expression": 100, "pose": 6, "neck": 3, "eyes": 6}
    drawn = {name: torch.randn(batch, size, generator=draw).double() for name, size in sizes.items()}
    return {name: value * (1 if value.shape[1] > 6 else angle) for name, value in drawn.items()}


# The published formula, vertex by vertex


def rotation(vector):
    """The rotation about a vector by its length, as the exponential of the cross product with it."""
    linalg = pytest.importorskip("scipy.linalg")
    x, y, z = vector
    return linalg.expm(np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]))


def brute_force(content, shape, expression, pose, neck=(0, 0, 0), eyes=(0,) * 6):
    """One head in float64 with a 4 x 4 matrix for every joint and a loop over the vertices."""
    shaped = content["v_template"].copy()
    for index, value in enumerate(shape):
        shaped += value * content["shapedirs"][:, :, index]
    for index, value in enumerate(expression):
        shaped += value * content["shapedirs"][:, :, 300 + index]
    joints = content["J_regressor"] @ shaped
    angles = [pose[:3], neck, pose[3:], eyes[:3], eyes[3:]]
    rotations = [rotation(angle) for angle in angles]
    bends = np.concatenate([(matrix - np.eye(3)).ravel() for matrix in rotations[1:]])
    motions = []
    for joint, parent in enumerate((None, 0, 1, 1, 1)):
        about = np.eye(4)
        about[:3, :3] = rotations[joint]
        about[:3, 3] = joints[joint] - rotations[joint] @ joints[joint]
        motions.append(about if parent is None else motions[parent] @ about)
    result = np.zeros_like(shaped)
    for vertex in range(len(shaped)):
        place = shaped[vertex] + content["posedirs"][vertex] @ bends
        for joint in range(5):
            moved = motions[joint] @ np.append(place, 1)
            result[vertex] += content["weights"][vertex, joint] * moved[:3]
    return result


def expected_heads(content, coefficients):
    rows = zip(*(value.numpy() for value in coefficients.values()), strict=True)
    return np.stack([brute_force(content, *row) for row in rows])


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-14), (torch.float32, 1e-6)])
def test_it_is_the_published_formula(path, dtype, tolerance):
    coefficients = draw_coefficients()
    heads = load_flame(path, COUNT, dtype)(**coefficients)
    assert heads.dtype == dtype and heads.shape == (3, COUNT, 3)
    np.testing.assert_allclose(heads, expected_heads(make_content(), coefficients), rtol=0, atol=tolerance)


def test_fewer_coefficients_are_the_first_ones(flame):
    given = {
        name: value for name, value in draw_coefficients().items() if name in ("shape", "expression", "pose")
    }
    given["shape"], given["expression"] = (
        given["shape"][:, :100],
        given["expression"][:, :50],
    )  # as DECA gives
    heads = flame(given["shape"], given["expression"], given["pose"])
    np.testing.assert_allclose(heads, expected_heads(make_content(), given), rtol=0, atol=1e-14)


# Closed forms


def test_zero_everywhere_is_the_template(flame):
    zero = torch.zeros(2, 300), torch.zeros(2, 100), torch.zeros(2, 6)
    template = torch.from_numpy(make_content()["v_template"]).expand(2, -1, -1)
    torch.testing.assert_close(flame(*zero), template, rtol=0, atol=1e-16)


def test_neutral_is_the_template_with_the_shape_alone(flame):
    shape = draw_coefficients()["shape"]
    content = make_content()
    expected = content["v_template"] + np.einsum("bn,vcn->bvc", shape, content["shapedirs"][:, :, :300])
    np.testing.assert_allclose(flame.neutral(shape), expected, rtol=0, atol=1e-15)
    torch.testing.assert_close(
        flame.neutral(shape), flame(shape, torch.zeros(3, 50), torch.zeros(3, 6)), rtol=0, atol=0
    )


def test_a_global_rotation_turns_the_head_about_its_root(flame):
    shape = draw_coefficients(1)["shape"]
    turn = torch.tensor([[0.3, -1.2, 0.5]]).double()
    rest = flame.neutral(shape)[0].numpy()
    root = make_content()["J_regressor"][GLOBAL] @ rest
    expected = (rest - root) @ rotation(turn[0].numpy()).T + root
    turned = flame(shape, pose=torch.cat([turn, torch.zeros(1, 3)], dim=1))[0]
    np.testing.assert_allclose(turned, expected, rtol=0, atol=1e-15)


def test_the_jaw_moves_only_what_hangs_on_it(tmp_path):
    content = make_content()
    content["posedirs"][:] = 0
    flame = load_flame(write_npz(tmp_path / "flame.npz", content), COUNT, torch.float64)
    opened = flame(torch.zeros(1, 1), pose=torch.tensor([[0, 0, 0, 0.4, 0, 0]], dtype=torch.float64))[
        0
    ].numpy()
    rest, on_jaw = content["v_template"], content["weights"][:, JAW]
    moved = abs(opened - rest).max(axis=1) > 1e-12
    assert (moved == (on_jaw > 0)).all() and 8 < moved.sum() < COUNT
    joint = content["J_regressor"][JAW] @ rest
    expected = (rest[:8] - joint) @ rotation([0.4, 0, 0]).T + joint
    np.testing.assert_allclose(opened[:8], expected, rtol=0, atol=1e-15)


def test_the_neck_carries_the_jaw_and_the_eyes(tmp_path):
    content = make_content()
    content["posedirs"][:] = 0
    content["weights"] = np.eye(5)[np.arange(COUNT) % 5]
    flame = load_flame(write_npz(tmp_path / "flame.npz", content), COUNT, torch.float64)
    turn = torch.tensor([[0.1, 0.7, -0.2]]).double()
    turned = flame(torch.zeros(1, 1), neck=turn)[0].numpy()
    rest = content["v_template"]
    joint = content["J_regressor"][NECK] @ rest
    expected = (rest - joint) @ rotation(turn[0].numpy()).T + joint
    expected[::5] = rest[::5]  # those of the root stay
    np.testing.assert_allclose(turned, expected, rtol=0, atol=1e-15)
    looking = flame(torch.zeros(1, 1), eyes=torch.tensor([[0, 0.3, 0, 0, 0, 0]]))[0].numpy()
    assert ((abs(looking - rest).max(axis=1) > 1e-9) == (np.arange(COUNT) % 5 == LEFT_EYE)).all()


@pytest.mark.parametrize("angle", [0, 1e-300, 1e-9, 1e-4, 0.0999999, 0.1, 0.1000001, 1, 3.14159265, 7])
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 2e-14), (torch.float32, 1e-6)])
def test_rotations_of_any_size(angle, dtype, tolerance):
    vector = np.array([2, -1, 2]) / 3 * angle
    matrix = rotation_matrices(torch.tensor(vector, dtype=dtype))
    np.testing.assert_allclose(matrix, rotation(vector), rtol=0, atol=tolerance)


# Batches, precision, gradients


def test_a_batch_is_a_loop(flame):
    coefficients = draw_coefficients(4)
    single = [flame(**{name: value[i : i + 1] for name, value in coefficients.items()}) for i in range(4)]
    torch.testing.assert_close(flame(**coefficients), torch.cat(single), rtol=0, atol=1e-15)
    assert flame(torch.zeros(0, 100)).shape == (0, COUNT, 3)


@pytest.mark.parametrize("angle", [0.0, 1e-6, 0.05, 1.0])
def test_gradients_are_right(flame, angle):
    given = draw_coefficients(1, angle=angle)
    given["shape"], given["expression"] = given["shape"][:, :3], given["expression"][:, :2]
    inputs = [value.requires_grad_() for value in given.values()]
    chosen = torch.arange(0, COUNT, 20)
    assert torch.autograd.gradcheck(lambda *values: flame(*values)[:, chosen], inputs)


def test_second_derivatives_at_rest_are_right():
    vector = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(rotation_matrices, vector)


def test_a_model_read_in_inference_mode_can_be_fitted(path):
    with torch.inference_mode():
        flame = load_flame(path, COUNT)
    shape = torch.zeros(1, 10, requires_grad=True)
    flame(shape).square().sum().backward()
    assert shape.grad.abs().sum() > 0


def test_autocast_does_not_coarsen_it(path):
    flame, coefficients = load_flame(path, COUNT), draw_coefficients()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        heads = flame(**coefficients)
    assert torch.equal(heads, flame(**coefficients))


def test_faces_are_ready_for_an_export_and_nothing_licensed_enters_a_checkpoint(flame):
    assert flame.faces.dtype == np.int64
    np.testing.assert_array_equal(flame.faces, make_content()["f"])
    assert isinstance(flame, FlameModel) and not flame.state_dict() and not list(flame.parameters())


# The official file: Python 2, chumpy, SciPy


class _Python2(pickle._Pickler):
    """Writes text and bytes as Python 2 did: both are byte strings."""

    dispatch = pickle._Pickler.dispatch.copy()

    def save_string(self, value):
        raw = value if isinstance(value, bytes) else value.encode("latin1")
        self.write(b"T" + struct.pack("<i", len(raw)) + raw)
        self.memoize(value)

    dispatch[bytes] = dispatch[str] = save_string


def write_python2(path, content):
    stream = io.BytesIO()
    _Python2(stream, 2, fix_imports=True).dump(content)
    written = (
        stream.getvalue()
        .replace(b"cnumpy._core.", b"cnumpy.core.")
        .replace(b"sparse._csc\n", b"sparse.csc\n")
    )
    path.write_bytes(written)
    return path


@pytest.fixture
def chumpy(monkeypatch):
    """The classes of chumpy, pickled under its names; while reading they cannot be imported."""
    assert "chumpy" not in sys.modules
    made = {}
    for module, names in {
        "chumpy.ch": ["Ch", "MatVecMult"],
        "chumpy.reordering": ["Select", "Reshape", "transpose"],
        "chumpy.ch_ops": ["add"],
    }.items():
        made[module] = types.ModuleType(module)
        for name in names:
            setattr(made[module], name, type(name, (), {"__module__": module}))

    def node(module, name, **state):
        value = getattr(made[module], name)()
        extra = {"_dirty_vars": {"x"}, "_itr": None, "_make_dense": False, "_depends_on_deps": {}}
        value.__dict__.update(extra, **state)
        return value

    def write(path, content):
        with monkeypatch.context() as context:
            for module, body in {"chumpy": types.ModuleType("chumpy"), **made}.items():
                context.setitem(sys.modules, module, body)
            return write_python2(path, content)

    return types.SimpleNamespace(node=node, write=write)


def stored(chumpy, array):
    return chumpy.node("chumpy.ch", "Ch", x=array)


def official(chumpy):
    """The entries as FLAME 2020 keeps them."""
    sparse = pytest.importorskip("scipy.sparse")
    content = make_content()
    for key in ("v_template", "shapedirs", "posedirs", "weights"):
        content[key] = stored(chumpy, content[key])
    content["J_regressor"] = sparse.csc_matrix(content["J_regressor"])
    computed = chumpy.node("chumpy.ch", "MatVecMult", mtx=content["J_regressor"], v=content["v_template"])
    content["J"] = chumpy.node("chumpy.reordering", "transpose", a=computed, axes=None)
    return content


def assert_same(one, other):
    for (name, tensor), (_, expected) in zip(one.named_buffers(), other.named_buffers(), strict=True):
        assert torch.equal(tensor, expected), name
    np.testing.assert_array_equal(one.faces, other.faces)


def test_flame_2020_is_read_without_chumpy(tmp_path, chumpy, flame):
    path = chumpy.write(tmp_path / "generic_model.pkl", official(chumpy))
    raw = path.read_bytes()
    assert b"cchumpy.ch\nCh\n" in raw and b"c__builtin__\nset\n" in raw and b"cnumpy.core.multiarray\n" in raw
    assert b"cscipy.sparse.csc\ncsc_matrix\n" in raw and b"_codecs" not in raw
    assert_same(load_flame(path, COUNT, torch.float64), flame)
    assert "chumpy" not in sys.modules


def test_flame_2023_with_plain_arrays_is_read(tmp_path, flame):
    sparse = pytest.importorskip("scipy.sparse")
    content = make_content()
    for key in ("J_regressor", "f"):
        path = tmp_path / f"{key}.pkl"
        path.write_bytes(pickle.dumps(content, protocol=4))
        assert_same(load_flame(str(path), COUNT, torch.float64), flame)
        content["J_regressor"] = sparse.csc_matrix(content["J_regressor"])


def test_reordered_chumpy_arrays_are_read(tmp_path, chumpy, flame):
    content = make_content()
    wide = np.concatenate([content["shapedirs"], np.full((COUNT, 3, 7), 9.0)], axis=2)
    places = np.arange(wide.size).reshape(wide.shape)[..., :400]
    content["shapedirs"] = chumpy.node(
        "chumpy.reordering",
        "Select",
        a=stored(chumpy, wide),
        idxs=places.ravel(),
        preferred_shape=places.shape,
    )
    content["weights"] = chumpy.node(
        "chumpy.reordering",
        "transpose",
        a=stored(chumpy, np.ascontiguousarray(content["weights"].T)),
        axes=None,
    )
    content["v_template"] = chumpy.node(
        "chumpy.reordering", "Reshape", a=stored(chumpy, content["v_template"].ravel()), newshape=(COUNT, 3)
    )
    assert_same(load_flame(chumpy.write(tmp_path / "flame.pkl", content), COUNT, torch.float64), flame)


# Bad files


def test_a_missing_file_says_where_to_register(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=rf"FLAME is missing: there is no file .*absent\.pkl.*{ORIGIN}"
    ):
        load_flame(tmp_path / "absent.pkl")
    with pytest.raises(ValueError, match=rf"one file of about 50 MB, got a folder.*{ORIGIN}"):
        load_flame(tmp_path)


def test_another_topology_is_named(path, tmp_path):
    with pytest.raises(
        ValueError, match=rf"expected 5023 vertices, got 162: it is another topology.*{ORIGIN}"
    ):
        load_flame(path)
    content = make_content()
    content["v_template"] = np.float64(1)
    with pytest.raises(ValueError, match="expected 162 vertices, got 0"):
        load_flame(write_npz(tmp_path / "flame.npz", content), COUNT)


@pytest.mark.parametrize(
    "key", ["v_template", "shapedirs", "posedirs", "J_regressor", "kintree_table", "weights", "f"]
)
def test_a_missing_entry_is_named(key, tmp_path):
    content = make_content()
    del content[key]
    with pytest.raises(
        ValueError, match=rf"not a usable FLAME model: expected the entries {key}, got .*{ORIGIN}"
    ):
        load_flame(write_npz(tmp_path / "flame.npz", content), COUNT)


def change(key, function):
    return lambda content: content.update({key: function(content[key])})


@pytest.mark.parametrize(
    "spoil, message",
    [
        (
            change("shapedirs", lambda a: a[..., :150]),
            r"real numbers \[162, 3, 400\] in 'shapedirs', got .*3, 150",
        ),
        (
            change("posedirs", lambda a: a.reshape(-1, 36)),
            r"\[162, 3, 36\] in 'posedirs', got float64 \[486, 36\]",
        ),
        (change("J_regressor", lambda a: a[:, :-1]), r"\[5, 162\] in 'J_regressor', got float64 \[5, 161\]"),
        (change("weights", lambda a: a.T), r"\[162, 5\] in 'weights', got float64 \[5, 162\]"),
        (change("weights", lambda a: a * 2), "add up to 1 at every vertex"),
        (change("weights", lambda a: a.astype(complex)), "real numbers .* in 'weights', got complex128"),
        (change("v_template", lambda a: a * np.nan), "finite numbers in 'v_template'"),
        (change("shapedirs", lambda a: a / 0.0), "finite numbers in 'shapedirs'"),
        (change("f", lambda a: a + 1), r"faces of the vertices 0\.\.161, got 1\.\.162"),
        (change("f", lambda a: a.astype(float)), "whole numbers .* in 'f', got float64"),
        (change("kintree_table", lambda a: a[:, :4]), r"\[2, 5\] in 'kintree_table', got uint32 \[2, 4\]"),
        (
            change("kintree_table", lambda a: np.stack([a[1], a[1]])),
            "global, neck, jaw, left eye, right eye with",
        ),
        (change("kintree_table", lambda a: np.array([[-1, 0, 1, 2, 3], a[1]])), "with the parents"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_a_wrong_entry_is_named(spoil, message, tmp_path):
    content = make_content()
    spoil(content)
    with pytest.raises(ValueError, match=rf"not a usable FLAME model: .*{message}.*{ORIGIN}"):
        load_flame(write_npz(tmp_path / "flame.npz", content), COUNT)


def test_a_pickle_of_something_else_is_named(tmp_path):
    for content, held in (([1, 2], "list"), ({"eye_region": np.arange(3)}, "eye_region")):
        path = tmp_path / "FLAME_masks.pkl"
        path.write_bytes(pickle.dumps(content))
        with pytest.raises(ValueError, match=rf"expected the entries v_template, .*got {held}.*{ORIGIN}"):
            load_flame(path)


def test_entries_that_are_no_arrays_are_named(tmp_path, chumpy):
    itself = stored(chumpy, None)
    itself.x = itself
    computed = chumpy.node("chumpy.ch_ops", "add", a=stored(chumpy, np.zeros(3)), b=1)
    empty = chumpy.node("chumpy.ch", "Ch")
    far = chumpy.node("chumpy.reordering", "Select", a=stored(chumpy, np.zeros(3)), idxs=np.array([10**9]))
    for value in (itself, computed, empty, far, "text", None):
        content = {**make_content(), "weights": value}
        path = chumpy.write(tmp_path / "flame.pkl", content)
        with pytest.raises(ValueError, match=rf"expected numbers in 'weights', but .*{ORIGIN}"):
            load_flame(path, COUNT)


def test_a_sparse_matrix_of_absurd_size_is_refused(tmp_path):
    sparse = pytest.importorskip("scipy.sparse")
    content = {**make_content(), "J_regressor": sparse.coo_matrix((5, 10**12))}
    path = tmp_path / "flame.pkl"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=r"'J_regressor', but it holds a sparse matrix \(5, 1000000000000\)"):
        load_flame(path, COUNT)


class _Call:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_imports_anything_else_is_refused(protocol, tmp_path):
    witness = tmp_path / "witness"
    path = tmp_path / "generic_model.pkl"
    path.write_bytes(
        pickle.dumps({**make_content(), "J": _Call(os.system, f"touch {witness}")}, protocol=protocol)
    )
    with pytest.raises(ValueError, match=rf"refused: it tries to import (posix|nt)\.system.*{ORIGIN}"):
        load_flame(path, COUNT)
    assert not witness.exists()
    for name in (b"chumpy.ch\nch_lambda", b"chumpy.ch\nos.system", b"chumpy\nnp", b"__builtin__\neval"):
        path.write_bytes(b"c" + name + b"\n(S'1'\ntR.")
        with pytest.raises(ValueError, match="refused: it tries to import"):
            load_flame(path, COUNT)


@pytest.mark.parametrize("name", ["flame.pkl", "flame.npz"])
@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04rubbish", b"ply\nformat ascii 1.0\n", None])
def test_a_damaged_file_is_refused(name, damage, tmp_path):
    path = tmp_path / name
    if damage is None:
        path.write_bytes(pickle.dumps(make_content())) if name.endswith("pkl") else write_npz(
            path, make_content()
        )
        damage = path.read_bytes()[:-5000]
    path.write_bytes(damage)
    with pytest.raises(ValueError, match=rf"(?s){name} cannot be read.*{ORIGIN}"):
        load_flame(path, COUNT)


def test_random_damage_ends_in_an_error_or_in_a_model(tmp_path):
    draw = np.random.default_rng(0)
    content, refused = make_content(), 0
    for name in ("flame.pkl", "flame.npz"):
        path = tmp_path / name
        whole = pickle.dumps(content, 2) if name == "flame.pkl" else write_npz(path, content).read_bytes()
        for _ in range(40):
            damaged = bytearray(whole)
            # Most of the file is numbers: the structure stands at its ends.
            for place in draw.integers(0, 400, size=3) * draw.choice([1, -1], size=3):
                damaged[place] = draw.integers(256)
            path.write_bytes(bytes(damaged))
            try:
                load_flame(path, COUNT)
            except ValueError:
                refused += 1
    assert refused > 20


def test_a_damaged_header_of_an_array_is_refused(tmp_path):
    path = write_npz(tmp_path / "flame.npz", make_content())
    path.write_bytes(path.read_bytes().replace(b"(162, 3)", b"((162, 3"))  # numpy raises no ValueError here
    with pytest.raises(ValueError, match=rf"flame\.npz cannot be read as FLAME .*{ORIGIN}"):
        load_flame(path, COUNT)


def test_an_npz_cannot_bring_a_pickle(tmp_path):
    witness = tmp_path / "witness"
    evil = np.array([_Call(os.system, f"touch {witness}")], dtype=object)
    with pytest.raises(ValueError, match=rf"cannot be read as FLAME .*{ORIGIN}"):
        load_flame(write_npz(tmp_path / "flame.npz", {**make_content(), "weights": evil}), COUNT)
    assert not witness.exists()


def test_half_precision_is_refused(path):
    with pytest.raises(ValueError, match=r"float32 or torch\.float64 for FLAME, got torch\.float16"):
        load_flame(path, COUNT, torch.float16)


# Bad coefficients


@pytest.mark.parametrize(
    "given, message",
    [
        ({"shape": torch.zeros(1, 301)}, r"shape coefficients \[B, at most 300\], got \[1, 301\]"),
        ({"shape": torch.zeros(100)}, r"at most 300\], got \[100\]\. Add the batch dimension"),
        ({"expression": torch.zeros(1, 101)}, r"expression coefficients \[B, at most 100\], got \[1, 101\]"),
        ({"expression": torch.zeros(2, 50)}, "expression for 1 heads, as many as shape has, got 2"),
        ({"pose": torch.zeros(1, 3)}, r"pose as axis-angle \[B, 6\] \(global, jaw\), got \[1, 3\]"),
        ({"pose": torch.full((1, 6), float("nan"))}, "finite pose numbers"),
        ({"shape": torch.full((1, 6), float("inf"))}, "finite shape numbers"),
        ({"neck": torch.zeros(1, 6)}, r"neck as axis-angle \[B, 3\]"),
        ({"eyes": torch.zeros(1, 3)}, r"eyes as axis-angle \[B, 6\] \(left, right\)"),
    ],
)
def test_wrong_coefficients_are_named(flame, given, message):
    with pytest.raises(ValueError, match=message):
        flame(**{"shape": torch.zeros(1, 100), **given})
