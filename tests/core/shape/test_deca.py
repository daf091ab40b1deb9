"""DECA's encoder: the same numbers as torchvision's ResNet-50, and files of every wrong kind."""

import os
import pickle
import re
import tarfile
import zipfile

import pytest
import torch
from decafile import make_state, make_trunk, write_deca
from flamefile import _Call, make_content

from fantasyid_core.shape import load_deca
from fantasyid_core.shape.reconstruct.deca import COUNTER, PARAMETERS

ORIGIN = r"https://deca\.is\.tue\.mpg\.de .*models/fantasyid/deca_model\.tar \(MPI"
COUNTS = {"shape": 100, "texture": 50, "expression": 50, "pose": 6, "camera": 3, "light": 27}


@pytest.fixture(scope="module")
def state():
    return make_state({"camera": [8.5, 0.01, -0.02]}, influence=0.01)


@pytest.fixture(scope="module")
def path(state, tmp_path_factory):
    return write_deca(tmp_path_factory.mktemp("deca") / "deca_model.tar", state)


@pytest.fixture(scope="module")
def deca(path):
    return load_deca(path)


def draw_pixels(batch=2, seed=0):
    return torch.rand(batch, 3, 224, 224, generator=torch.Generator().manual_seed(seed))


# Against torchvision


def test_the_numbers_are_those_of_the_whole_network(deca, state):
    """torchvision's trunk, the two layers of the file, cut in DECA's order."""
    trunk, pixels = make_trunk(), draw_pixels()
    trunk.load_state_dict({k.removeprefix("encoder."): v for k, v in state.items() if k.startswith("encoder.")})
    with torch.no_grad():
        hidden = torch.relu(trunk(pixels) @ state["layers.0.weight"].T + state["layers.0.bias"])
        expected = hidden @ state["layers.2.weight"].T + state["layers.2.bias"]
        numbers = deca(pixels)
    assert {name: tuple(value.shape) for name, value in numbers.items()} == {k: (2, n) for k, n in COUNTS.items()}
    torch.testing.assert_close(torch.cat(list(numbers.values()), dim=1), expected, rtol=1e-4, atol=1e-5)
    assert (numbers["shape"][0] - numbers["shape"][1]).abs().max() > 1e-4  # the pictures have a say
    assert PARAMETERS == COUNTS


def test_a_batch_gives_what_its_members_give(deca):
    pixels = draw_pixels(2)
    with torch.no_grad():
        together = deca(pixels)
        for name, value in together.items():
            alone = torch.cat([deca(one[None])[name] for one in pixels])
            torch.testing.assert_close(value, alone, rtol=1e-4, atol=1e-6)


def test_gradients_reach_the_picture(deca):
    pixels = draw_pixels(1).requires_grad_()
    deca(pixels)["shape"].square().sum().backward()
    assert torch.isfinite(pixels.grad).all() and pixels.grad.abs().sum() > 0


# Files


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
def test_both_formats_of_torch_are_read_and_the_file_is_let_go(zipped, state, deca, tmp_path):
    path = write_deca(tmp_path / "deca_model.tar", state, zipped, D_detail={"a": torch.ones(2)}, opt={"lr": 0.1})
    read = load_deca(path)
    path.write_bytes(b"replaced")  # what was read must not be a view of the file
    for (name, one), (_, other) in zip(read.state_dict().items(), deca.state_dict().items(), strict=True):
        assert torch.equal(one, other), name
    assert not read.training and not any(value.requires_grad for value in read.parameters())


def test_counters_may_be_absent_and_other_dtypes_are_made(state, deca, tmp_path):
    bare = {name: value for name, value in state.items() if not name.endswith(COUNTER)}
    half = load_deca(write_deca(tmp_path / "deca_model.tar", bare), torch.bfloat16)
    numbers = half(draw_pixels(1))["camera"]
    assert numbers.dtype == torch.bfloat16
    torch.testing.assert_close(numbers.float(), deca(draw_pixels(1))["camera"], rtol=0.05, atol=0.05)
    with pytest.raises(ValueError, match=r"DECA's dtype, got torch\.int8"):
        load_deca(tmp_path / "deca_model.tar", torch.int8)


def test_a_model_read_in_inference_mode_can_be_trained(path):
    with torch.inference_mode():
        deca = load_deca(path)
    deca.requires_grad_(True)
    deca(draw_pixels(1))["camera"].sum().backward()
    assert deca.layers[2].bias.grad[206:209].tolist() == [1, 1, 1]  # after shape, texture, expression and pose


def test_a_missing_file_says_where_to_register(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no file .*absent\.tar\. .*DECA|deca.*deca\.is\.tue"):
        load_deca(tmp_path / "absent.tar")
    with pytest.raises(ValueError, match=rf"one file of about 434 MB, got a folder.*{ORIGIN}"):
        load_deca(tmp_path)


def refused(path):
    with pytest.raises(ValueError) as caught:
        load_deca(path)
    message = str(caught.value)
    assert str(path) in message and re.search(ORIGIN, message)
    return message


def test_each_wrong_file_has_its_own_message(tmp_path, path):
    from safetensors.torch import save_file

    wrong = tmp_path / "deca_model.tar"

    wrong.write_bytes(pickle.dumps(make_content(), protocol=2))
    assert "it is a FLAME head model" in refused(wrong)
    save_file({"transformer.blocks.0.lora_A.weight": torch.zeros(2, 2)}, wrong)
    assert "it is a LoRA" in refused(wrong)
    save_file({"decoder.weight": torch.zeros(2, 2)}, wrong)
    assert "it is a .safetensors file of another model" in refused(wrong)
    with tarfile.open(wrong, "w") as archive:
        archive.add(path.parent, "data", recursive=False)
    assert "it is a real tar archive: unpack it" in refused(wrong)
    with zipfile.ZipFile(wrong, "w") as archive:
        archive.writestr("deca_model.tar", b"x")
    assert "it is a real zip archive: unpack it" in refused(wrong)
    wrong.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 434142943\n")
    assert "a Git LFS pointer, which only says where the file is" in refused(wrong)
    wrong.write_text("<!DOCTYPE html><html>Google Drive - Quota exceeded</html>")
    assert "it is a web page" in refused(wrong)
    wrong.write_bytes(b"")
    assert "it is an empty file" in refused(wrong)
    wrong.write_bytes(bytes(10_000))
    assert "it is a file of zeros: its download was cut off" in refused(wrong)
    wrong.write_bytes(b"\xff\xd8\xff\xe0 JFIF")
    assert "it is a JPEG picture" in refused(wrong)


def test_a_tar_archive_without_its_mark_never_reaches_torch(tmp_path, monkeypatch):
    """Old PyTorch opened such archives as its own first format, without the protection of weights_only."""
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("torch.load was called"))
    wrong = tmp_path / "deca_model.tar"
    with tarfile.open(wrong, "w", format=tarfile.USTAR_FORMAT) as archive:
        archive.add(__file__, "tensors")
    content = bytearray(wrong.read_bytes())
    content[257:265] = bytes(8)  # the seventh edition of Unix had no mark
    content[148:156] = b"%06o\0 " % (sum(content[:148]) + 8 * 32 + sum(content[156:512]))
    wrong.write_bytes(content)
    assert tarfile.is_tarfile(wrong) and b"ustar" not in wrong.read_bytes()[:512]
    assert "it is a real tar archive" in refused(wrong)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_truncated_file_is_named(zipped, path, state, tmp_path):
    whole = path if zipped else write_deca(tmp_path / "old.tar", state, zipped)
    cut = tmp_path / "deca_model.tar"
    for length in (1000, 200_000, 50_000_000):
        cut.write_bytes(whole.read_bytes()[:length])
        assert re.search("truncated or corrupt|not a file of tensors", refused(cut))


@pytest.mark.parametrize("bare", [True, False], ids=["a pickle", "a file of torch"])
def test_nothing_in_a_hostile_file_is_run(bare, tmp_path):
    witness, path = tmp_path / "witness", tmp_path / "deca_model.tar"
    evil = {"E_flame": _Call(os.system, f"touch {witness}")}
    if bare:
        path.write_bytes(pickle.dumps(evil, protocol=2))
    else:
        torch.save(evil, path)
    assert re.search(r"wants to run \S*system", refused(path))
    assert not witness.exists()


def test_another_model_in_torchs_format_is_named(tmp_path, path):
    path = tmp_path / "deca_model.tar"
    torch.save({"body.conv1.weight": torch.zeros(3)}, path)
    assert "expected weights under 'E_flame', got body.conv1.weight" in refused(path)
    torch.save([1], path)
    assert "expected weights under 'E_flame', got list" in refused(path)
    torch.save({"E_flame": 3}, path)
    assert "expected weights under 'E_flame'" in refused(path)


def without(*names):
    return lambda state: [state.pop(name) for name in names]


def put(name, value):
    return lambda state: state.update({name: value(state.get(name)) if callable(value) else value})


@pytest.mark.parametrize(
    "spoil, message",
    [
        (
            without(*[f"encoder.layer1.0.conv{n}.weight" for n in (1, 2, 3)], "encoder.bn1.bias", "layers.0.bias"),
            r"5 of its weights are missing: encoder\.bn1\.bias, encoder\.layer1\.0\.conv1\.weight, ",
        ),
        (put("encoder.fc.weight", torch.zeros(1)), r"1 of its weights are unexpected: encoder\.fc\.weight"),
        (put("layers.2.weight", lambda t: t[:100]), r"layers\.2\.weight is \[100, 1024\] instead of \[236, 1024\]"),
        (put("layers.0.weight", lambda t: t.T), r"layers\.0\.weight is \[2048, 1024\] instead of \[1024, 2048\]"),
        (put("layers.0.bias", "text"), r"layers\.0\.bias is str instead of \[1024\]"),
        (
            put("layers.0.bias", torch.zeros(1024, dtype=torch.long)),
            r"not floating-point: layers\.0\.bias is torch\.int64",
        ),
        (
            put("encoder.bn1.weight", lambda t: t / 0.0),
            r"1 of its weights hold NaN or infinite values: encoder\.bn1\.weight",
        ),
        (put("encoder.bn1.running_var", lambda t: -t), r"impossible: encoder\.bn1\.running_var"),
    ],
)
def test_wrong_weights_are_named(spoil, message, state, tmp_path):
    spoiled = dict(state)
    spoil(spoiled)
    assert re.search(message, refused(write_deca(tmp_path / "deca_model.tar", spoiled)))


# Bad pictures


@pytest.mark.parametrize(
    "pixels, message",
    [
        (torch.zeros(1, 3, 512, 512), r"\[B, 3, 224, 224\] for DECA, got \[1, 3, 512, 512\]"),
        (torch.zeros(1, 4, 224, 224), "without alpha"),
        (torch.zeros(3, 224, 224), r"got \[3, 224, 224\]"),
        (torch.zeros(0, 3, 224, 224), r"got \[0, 3, 224, 224\]"),
        (torch.full((1, 3, 224, 224), 200.0), r"0\.\.1 for DECA, got 200\.\.200"),
        (torch.full((1, 3, 224, 224), -1.0), "got -1..-1"),
        (torch.full((1, 3, 224, 224), float("nan")), "got nan"),
        (torch.zeros(1, 3, 224, 224, dtype=torch.uint8), r"floats .*got torch\.uint8"),
    ],
)
def test_wrong_pictures_are_named(deca, pixels, message):
    with pytest.raises(ValueError, match=message):
        deca(pixels)
