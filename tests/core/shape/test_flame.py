"""FLAME on a synthetic model of its structure: the formula, closed forms, what is refused."""

import numpy as np
import pytest
import torch
from flamefile import COUNT, GLOBAL, JAW, LEFT_EYE, NECK, make_content, write_npz

from fantasyid_core.shape import FlameModel, load_flame
from fantasyid_core.shape.reconstruct.skinning import rotation_matrices


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
def test_vertices_are_those_of_the_published_formula(path, dtype, tolerance):
    coefficients = draw_coefficients()
    heads = load_flame(path, COUNT, dtype)(**coefficients)
    assert heads.dtype == dtype and heads.shape == (3, COUNT, 3)
    np.testing.assert_allclose(heads, expected_heads(make_content(), coefficients), rtol=0, atol=tolerance)


def test_fewer_coefficients_are_the_first_ones(flame):
    given = {name: value for name, value in draw_coefficients().items() if name in ("shape", "expression", "pose")}
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
    opened = flame(torch.zeros(1, 1), pose=torch.tensor([[0, 0, 0, 0.4, 0, 0]], dtype=torch.float64))[0].numpy()
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
def test_rotations_of_any_angle_equal_the_exact_matrix(angle, dtype, tolerance):
    vector = np.array([2, -1, 2]) / 3 * angle
    matrix = rotation_matrices(torch.tensor(vector, dtype=dtype))
    np.testing.assert_allclose(matrix, rotation(vector), rtol=0, atol=tolerance)


# Batches, precision, gradients


def test_a_batch_gives_what_its_members_give(flame):
    coefficients = draw_coefficients(4)
    single = [flame(**{name: value[i : i + 1] for name, value in coefficients.items()}) for i in range(4)]
    torch.testing.assert_close(flame(**coefficients), torch.cat(single), rtol=0, atol=1e-15)
    assert flame(torch.zeros(0, 100)).shape == (0, COUNT, 3)


@pytest.mark.parametrize("angle", [0.0, 1e-6, 0.05, 1.0])
def test_gradients_equal_finite_differences(flame, angle):
    given = draw_coefficients(1, angle=angle)
    given["shape"], given["expression"] = given["shape"][:, :3], given["expression"][:, :2]
    inputs = [value.requires_grad_() for value in given.values()]
    chosen = torch.arange(0, COUNT, 20)
    assert torch.autograd.gradcheck(lambda *values: flame(*values)[:, chosen], inputs)


def test_second_derivatives_at_rest_equal_finite_differences():
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
