"""Tensors in foreign pickles: read as torch wrote them, without torch, and refused when they are forged."""

import io
import os
import pickle
import struct
import warnings

import numpy as np
import pytest
import torch

from fantasyid_core.files.unpickle import restricted_load
from fantasyid_core.files.unpickle_torch import ALLOWED_WITH_TENSORS

TENSORS = {
    "whole": torch.arange(12).reshape(3, 4),
    "turned": torch.arange(12.0).reshape(3, 4).t(),
    "part": torch.arange(30, dtype=torch.float64).reshape(5, 6)[1:4, ::2],
    "number": torch.tensor(3.5),
    "empty": torch.zeros(0, 3),
    "truths": torch.tensor([True, False]),
    "half": torch.tensor([0.5, -1.0]).half(),
    "bytes": torch.tensor([[1, 255]], dtype=torch.uint8),
    "one dimension of one": torch.ones(1, 1, 2, 1),
}


def load(content: bytes):
    return restricted_load(io.BytesIO(content), ALLOWED_WITH_TENSORS)


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("name", TENSORS)
def test_tensors_come_as_arrays(name, protocol):
    tensor = TENSORS[name]
    read = load(pickle.dumps({"a": [tensor, tensor]}, protocol=protocol))["a"]
    for array in read:
        assert isinstance(array, np.ndarray) and array.dtype == tensor.numpy().dtype
        np.testing.assert_array_equal(array, tensor.numpy())


def test_tensors_are_refused_where_they_have_no_use():
    with pytest.raises(ValueError, match=r"tries to import torch\._utils\._rebuild_tensor_v2"):
        restricted_load(io.BytesIO(pickle.dumps(TENSORS["whole"])))


class _Call:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def described(offset=0, size=(3, 4), stride=(4, 1), content=None):
    """A pickled tensor whose description is forged."""
    content = storage() if content is None else content
    stored = _Call(torch.storage._load_from_bytes, content)
    return pickle.dumps(_Call(torch._utils._rebuild_tensor_v2, stored, offset, size, stride, False, {}))


def storage():
    """The bytes of a storage of twelve numbers, as torch writes it into a pickle."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the class is deprecated, the format is not
        return torch.arange(12.0).storage().__reduce__()[1][0]


def test_the_forgery_of_nothing_is_a_tensor():
    np.testing.assert_array_equal(load(described()), np.arange(12.0).reshape(3, 4))


@pytest.mark.parametrize(
    "forged",
    [
        {"offset": 1},
        {"offset": -1},
        {"offset": 2**62},
        {"stride": (5, 1)},
        {"stride": (-4, 1)},
        {"stride": (4,)},
        {"stride": (2**62, 2**62)},
        {"size": (2**40, 4)},
        {"size": (2**20, 2**20), "stride": (0, 0)},
        {"size": (100, 100), "stride": (0, 0)},
        {"size": (-3, 4)},
        {"size": (3.0, 4)},
        {"size": "ab"},
        {"size": (1,) * 100, "stride": (1,) * 100},
        {"content": b""},
        {"content": "text"},
    ],
)
def test_a_forged_description_is_refused(forged):
    with pytest.raises(ValueError, match="damaged|tensor"):
        load(described(**forged))


def test_a_truncated_storage_is_refused_wherever_it_is_cut():
    whole = storage()
    for length in range(len(whole)):
        with pytest.raises(ValueError):
            load(described(content=whole[:length]))
    with pytest.raises(ValueError, match="13 elements that should have 12|13 elements"):
        load(described(content=whole + bytes(4)))


def test_a_count_of_its_own_is_refused():
    whole = storage()
    place = len(whole) - 48 - 8
    assert whole[place : place + 8] == struct.pack("<Q", 12)
    with pytest.raises(ValueError, match="12 elements that should have"):
        load(described(content=whole[:place] + struct.pack("<Q", 2**60) + whole[place + 8 :]))


def test_nothing_in_a_storage_is_run(tmp_path):
    witness = tmp_path / "witness"
    evil = pickle.dumps(_Call(os.system, f"touch {witness}"), protocol=2)
    whole = storage()
    for content in (evil, whole[:14] + evil, evil + whole):
        with pytest.raises(ValueError):
            load(described(content=content))
    assert not witness.exists()
    named = whole.replace(b"ctorch\nFloatStorage\n", b"cposix\nsystem\n")
    assert named != whole
    with pytest.raises(ValueError, match=r"tries to import posix\.system"):
        load(described(content=named))


def test_another_array_is_no_storage():
    class Forged:
        def __reduce__(self):
            return torch._utils._rebuild_tensor_v2, (np.array(["a", "b"], dtype=object), 0, (2,), (1,), False, {})

    with pytest.raises(ValueError, match="described wrongly"):
        load(pickle.dumps(Forged()))
