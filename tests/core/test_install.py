"""install.py: the look at the environment and the model files, on a copy that has nothing else."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from installfile import ROOT, loaded_install

from fantasyid_core.running import requirements


@pytest.fixture
def install(tmp_path, monkeypatch):
    with loaded_install(tmp_path, monkeypatch) as module:
        yield module


def test_requirements_are_lower_bounds_and_leave_torch_to_the_host():
    pairs = dict(requirements.parse((ROOT / "requirements.txt").read_text()))
    assert all(pairs.values()), "every package has a lower bound"
    assert not {"torch", "torchvision", "torchaudio"} & set(pairs)
    assert not {"insightface", "facexlib", "onnxruntime", "kornia"} & set(pairs), "each serves one detector only"
    assert "scikit-image" not in pairs, "only the tests look at its photos"
    assert {"diffusers", "transformers", "safetensors", "av"} <= set(pairs)


def plain_copy(folder: Path) -> Path:
    pack = folder / "custom_nodes" / "pack"
    (pack / "fantasyid_core").mkdir(parents=True)
    for name in ("install.py", "requirements.txt"):
        shutil.copy(ROOT / name, pack / name)
    ignored = shutil.ignore_patterns("__pycache__")
    for room in ("modelfiles", "running"):
        shutil.copytree(ROOT / "fantasyid_core" / room, pack / "fantasyid_core" / room, ignore=ignored)
    return pack


def snapshot(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def run_plain(pack: Path, *arguments: str) -> subprocess.CompletedProcess:
    # -I: as in ComfyUI's embedded Python, the script's own folder is not searched for modules.
    command = [sys.executable, "-I", str(pack / "install.py"), *arguments]
    home = {"HOME": str(pack.parent), "USERPROFILE": str(pack.parent), "COMFYUI_PATH": str(pack.parent)}
    environment = os.environ | home | {"FANTASYID_MODELS": ""}
    options = {"capture_output": True, "text": True, "stdin": subprocess.DEVNULL}
    return subprocess.run(command, cwd=pack.parent, env=environment, **options)


def test_the_plain_call_names_missing_files_and_writes_nothing(tmp_path, install):
    pack = plain_copy(tmp_path)
    models = tmp_path / "models"
    (models / "clip_vision").mkdir(parents=True)
    eva = models / "clip_vision" / "EVA02_CLIP_L_336_psz14_s6B.safetensors"
    header = b'{"visual.x":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'
    eva.write_bytes(struct.pack("<Q", len(header)) + header)
    (models / "fantasyid").mkdir()
    (models / "fantasyid" / "transform.pkl").write_bytes(b"404: Not Found")
    (tmp_path / "extra_model_paths.yaml").touch()
    before = snapshot(tmp_path)

    answer = run_plain(pack)

    assert answer.returncode == 0, answer.stdout + answer.stderr  # missing files alone are no failure
    assert f"Model files in {models}" in answer.stdout
    assert f"found: EVA02_CLIP_L_336_psz14_s6B.pt: {eva}" in answer.stdout
    assert "damaged: transform.pkl" in answer.stdout and 'begins with "404: Not Found"' in answer.stdout
    table = install.load_room("modelfiles").MODEL_FILES
    for row in table:
        assert (row.advice() in answer.stdout) == (row.key not in ("topology", "eva_clip"))
    assert "extra_model_paths.yaml" in answer.stdout
    assert snapshot(tmp_path) == before


def test_the_plain_call_lists_optional_files_apart(tmp_path, install):
    lines = run_plain(plain_copy(tmp_path)).stdout.splitlines()
    middle = next(number for number, line in enumerate(lines) if line.strip().startswith("Optional"))
    for row in install.load_room("modelfiles").MODEL_FILES:
        place = next(number for number, line in enumerate(lines) if f"missing: {row.name} " in line)
        assert (place < middle) == row.required


def test_the_plain_call_fails_when_a_package_is_too_old(tmp_path):
    pack = plain_copy(tmp_path)
    (pack / "requirements.txt").write_text("pytest>=999\n")
    answer = run_plain(pack)
    assert answer.returncode == 1
    assert "expected 999 or newer" in answer.stdout and "-m pip install -r" in answer.stdout


def test_an_unknown_word_is_answered_with_the_usage(tmp_path):
    pack = plain_copy(tmp_path)
    for word in ("tests", "--demo", "check"):
        answer = run_plain(pack, word)
        assert answer.returncode == 2
        assert f'does not know "{word}"' in answer.stdout and "install.py demo" in answer.stdout
    answer = run_plain(pack, "--help")
    assert answer.returncode == 0 and "install.py test" in answer.stdout


def test_an_old_python_is_told_so(install, monkeypatch, capsys):
    monkeypatch.setattr(sys, "version_info", (3, 9, 18))
    for arguments in ([], ["demo"], ["test"]):
        assert install.main(arguments) == 1
        assert "needs Python 3.10 or newer" in capsys.readouterr().out
