"""The device that a user names."""

import pytest
import torch

from fantasyid_core.machine.device import named_device


def test_devices_that_are_there_are_chosen():
    assert named_device("cpu") == torch.device("cpu")
    assert named_device(None).type == named_device("").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["banana", "cuda:9999", "meta", "cpu:x", "vulkan"])
def test_other_words_for_a_device_are_refused(name):
    with pytest.raises(ValueError, match=f"Expected a device .*{name}"):
        named_device(name)
