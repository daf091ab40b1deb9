"""install.py test --comfyui: the host is fetched by git, once and whole, from a repository on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from installfile import loaded_install

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git: install it")


@pytest.fixture
def install(tmp_path, monkeypatch):
    """install.py that fetches from a repository with the tag v0.33.0; the environment needs no work."""
    with loaded_install(tmp_path, monkeypatch) as module:
        monkeypatch.setattr(module, "COMFYUI_SOURCE", repository(tmp_path / "ComfyUI"))
        monkeypatch.setattr(module, "prepare", lambda recipe, steps: module.steps.append(steps))
        monkeypatch.setattr(module, "prepare_optional", lambda *some: None)
        monkeypatch.setattr(module, "run", lambda *arguments: module.ran.append(arguments) or 0)
        monkeypatch.setenv("COMFYUI_PATH", str(tmp_path / "none"))
        module.steps, module.ran = [], []
        yield module


def repository(folder, **files):
    folder.mkdir()
    for name, text in ({"main.py": "pass\n", "requirements.txt": "aiohttp\n", "nodes.py": ""} | files).items():
        (folder / name).write_text(text)
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "-m", "Release")
    git(folder, "tag", "v0.33.0")
    return folder.as_uri()


def git(folder, *words):
    subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)


def test_the_host_is_fetched_and_its_tests_run(install, capsys):
    assert install.main(["test", "--comfyui", "-x", "tests/host"]) == 0
    assert (install.COMFYUI / "main.py").is_file() and os.environ["COMFYUI_PATH"] == str(install.COMFYUI)
    assert ["-r", str(install.COMFYUI / "requirements.txt")] in install.steps[0]
    assert ("-m", "pytest", "-x", "tests/host") in install.ran
    assert "its tests run too" in capsys.readouterr().out


def test_comfyui_is_fetched_once(install, monkeypatch):
    install.main(["test", "--comfyui"])
    monkeypatch.setattr(install.subprocess, "run", lambda *some, **more: pytest.fail("fetched again"))
    assert install.fetch_comfyui() == install.COMFYUI


def test_another_release_is_fetched_anew(install):
    install.fetch_comfyui()
    (install.COMFYUI / "fetched-release").write_text("v0.1.0\n")
    (install.COMFYUI / "old.py").touch()
    install.fetch_comfyui()
    assert not (install.COMFYUI / "old.py").exists() and (install.COMFYUI / "main.py").is_file()


def test_a_repository_out_of_reach_is_explained_and_leaves_nothing(install, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(install, "COMFYUI_SOURCE", (tmp_path / "absent").as_uri())
    assert install.main(["test", "--comfyui"]) == 1
    said = capsys.readouterr().out
    assert "could not be fetched" in said and "COMFYUI_PATH" in said and "absent" in said
    assert not install.COMFYUI.exists() and not list(tmp_path.glob(".comfyui*")) and not install.ran


def test_an_unknown_release_keeps_what_was_there(install, monkeypatch, capsys):
    install.fetch_comfyui()
    monkeypatch.setattr(install, "COMFYUI_TAG", "v9.9.9")
    assert install.main(["test", "--comfyui"]) == 1
    assert "v9.9.9" in capsys.readouterr().out and (install.COMFYUI / "main.py").is_file()


def test_something_else_of_this_name_is_not_touched(install, capsys):
    install.COMFYUI.mkdir()
    (install.COMFYUI / "diary.txt").write_text("mine")
    assert install.main(["test", "--comfyui"]) == 1
    assert "Move it away" in capsys.readouterr().out and (install.COMFYUI / "diary.txt").read_text() == "mine"


def test_without_git_it_says_so(install, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    assert install.main(["test", "--comfyui"]) == 1
    assert "git is not installed" in capsys.readouterr().out


def test_without_the_flag_nothing_is_fetched_and_the_flag_is_named(install, capsys):
    assert install.main(["test"]) == 0
    assert "install.py test --comfyui" in capsys.readouterr().out and not install.COMFYUI.exists()
