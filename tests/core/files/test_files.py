"""Writing aside and renaming: nothing half-written, nothing lost."""

from __future__ import annotations

import errno
import os
import stat
import tarfile

import pytest
import torch

from fantasyid_core.face.encoder import load_face_encoder
from fantasyid_core.files.checkpoint import load_pickle
from fantasyid_core.files.writing import is_tar, write_aside


def test_the_file_appears_when_it_is_whole(tmp_path):
    target = tmp_path / "new" / "a.txt"
    with write_aside(target) as aside:
        aside.write_text("x")
        assert not target.exists() and aside.suffix == ".txt"
    assert target.read_text() == "x" and os.listdir(target.parent) == ["a.txt"]
    assert stat.S_IMODE(target.stat().st_mode) & 0o444 == 0o444


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(errno.ENOSPC, "No space left on device"), ValueError])
def test_a_failure_keeps_the_old_file(tmp_path, error):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises((OSError, KeyboardInterrupt, ValueError)), write_aside(target) as aside:
        aside.write_text("half")
        raise error
    assert target.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]


def test_a_full_disk_is_said(tmp_path):
    with pytest.raises(OSError, match="a.txt failed .No space left.*Nothing was changed"):
        with write_aside(tmp_path / "a.txt"):
            raise OSError(errno.ENOSPC, "No space left on device")


def test_an_unwritable_folder_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="Cannot write .*not writable.*Choose another output folder"):
        with write_aside(tmp_path / "file" / "a.txt"):
            raise AssertionError("the body must not run")


def test_tar_archives_are_told_from_weights(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    with tarfile.open(tmp_path / "weights.bin", "w") as archive:
        archive.add(tmp_path / "a.txt", "a.txt")
    assert is_tar(tmp_path / "weights.bin") and not is_tar(tmp_path / "a.txt") and not is_tar(tmp_path / "absent")
    torch.save({"a": torch.zeros(2)}, tmp_path / "old.bin", _use_new_zipfile_serialization=False)
    assert not is_tar(tmp_path / "old.bin")
    for load in (load_pickle, load_face_encoder):
        with pytest.raises(ValueError, match="tar archive.*[Uu]npack it"):
            load(tmp_path / "weights.bin")
