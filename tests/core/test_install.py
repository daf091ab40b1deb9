"""install.py: the look at the environment, the stamp of .venv, pip's failures, the exit codes."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def install(tmp_path, monkeypatch):
    """install.py as a module whose .venv would be made in an empty folder."""
    spec = importlib.util.spec_from_file_location("install", ROOT / "install.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(module, "LOG", module.VENV / "install.log")
    monkeypatch.setattr(module, "UNFINISHED", module.VENV / "install-unfinished")
    before = set(sys.modules)
    yield module
    for name in set(sys.modules) - before:  # put there by load_model_files
        if name.startswith("fantasyid_modelfiles"):
            del sys.modules[name]


@pytest.fixture
def calls(install, monkeypatch):
    """What `prepare` would make and install, in order; the environment appears, pip always succeeds."""
    log = []

    def create():
        shutil.rmtree(install.VENV, ignore_errors=True)
        install.VENV.mkdir()
        log.append("create")

    monkeypatch.setattr(install, "create_environment", create)
    monkeypatch.setattr(install, "pip_install", log.append)
    working = list(sys.version_info[:2])
    monkeypatch.setattr(install, "environment_version", lambda: working if install.VENV.is_dir() else None)
    return log


# ---- requirements


def test_requirements_are_lower_bounds_and_leave_torch_to_the_host(install):
    pairs = dict(install.parse_requirements((ROOT / "requirements.txt").read_text()))
    assert all(pairs.values()), "every package has a lower bound"
    assert not {"torch", "torchvision", "torchaudio"} & set(pairs)
    assert not {"insightface", "facexlib", "onnxruntime", "kornia"} & set(pairs), "each serves one detector only"
    assert "scikit-image" in pairs, "what detects faces without any model file"
    assert {"diffusers", "transformers", "safetensors", "av"} <= set(pairs)


@pytest.mark.parametrize("line", ["torch==2.11.0", "numpy<3", "av>=12,<20", "timm @ https://x", "-r x"])
def test_any_other_kind_of_requirement_is_refused(install, line):
    with pytest.raises(install.SetupError, match=re.escape(f'got "{line}"')):
        install.parse_requirements(f"# a comment\n\nnumpy>=1.25\n{line}\n")


def test_requirements_are_read_with_comments_and_blanks(install):
    text = "# why\n\nopen_clip_torch>=2.24  # because\ntqdm\n av >= 12.0\n"
    assert install.parse_requirements(text) == [("open_clip_torch", "2.24"), ("tqdm", ""), ("av", "12.0")]


@pytest.mark.parametrize(
    "low, high",
    [("0.9.2", "0.10"), ("1.0", "1.0.1"), ("4.46", "5.23.0"), ("", "0.1"), ("2.10.9+cu130", "2.11.0+cpu")],
)
def test_versions_compare_by_their_numbers(install, low, high):
    assert install.version_numbers(low) < install.version_numbers(high)


def test_trailing_zeros_and_suffixes_do_not_count(install):
    same = ["1", "1.0", "1.0.0", "1.0+cu130", "1.0.dev3"]
    assert {install.version_numbers(version) for version in same} == {(1,)}


# ---- the look at the environment


def with_packages(monkeypatch, versions):
    def version(name):
        if name not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(importlib.metadata, "version", version)


def test_missing_and_old_packages_are_named_with_what_to_do(install, monkeypatch):
    torch = {"torch": "2.11.0", "torchvision": "0.26.0"}
    with_packages(monkeypatch, torch | {"diffusers": "0.31.0", "timm": "1.0.31"})
    text = "\n".join(install.package_problems([("diffusers", "0.32"), ("timm", "1.0"), ("av", "12.0")]))
    assert "diffusers: found 0.31.0, expected 0.32 or newer" in text
    assert "av: missing, expected 12.0 or newer" in text
    assert "timm" not in text and "torch" not in text
    assert f'"{sys.executable}" -m pip install -r' in text


def test_torch_is_asked_for_but_never_through_requirements(install, monkeypatch):
    with_packages(monkeypatch, {"torchvision": "0.26.0", "timm": "1.0"})
    (line,) = install.package_problems([("timm", "1.0")])
    assert line.startswith("torch: missing") and "ComfyUI brings its own" in line


def test_another_build_of_opencv_stands_in(install, monkeypatch):
    both = {"torch": "2.11.0", "torchvision": "0.26.0"}
    with_packages(monkeypatch, both | {"opencv-contrib-python": "4.10.0"})
    assert install.package_problems([("opencv-python-headless", "4.8")]) == []
    with_packages(monkeypatch, both | {"opencv-python": None})  # damaged metadata
    assert "missing" in install.package_problems([("opencv-python-headless", "4.8")])[1]


def plain_copy(folder: Path) -> Path:
    pack = folder / "custom_nodes" / "pack"
    (pack / "fantasyid_core").mkdir(parents=True)
    for name in ("install.py", "requirements.txt"):
        shutil.copy(ROOT / name, pack / name)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "fantasyid_core" / "modelfiles", pack / "fantasyid_core" / "modelfiles", ignore=ignored)
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
    table = install.load_model_files().MODEL_FILES
    for row in table:
        assert (row.advice() in answer.stdout) == (row.key not in ("topology", "eva_clip"))
    assert "extra_model_paths.yaml" in answer.stdout
    assert snapshot(tmp_path) == before


def test_the_plain_call_lists_optional_files_apart(tmp_path, install):
    lines = run_plain(plain_copy(tmp_path)).stdout.splitlines()
    middle = next(number for number, line in enumerate(lines) if line.strip().startswith("Optional"))
    for row in install.load_model_files().MODEL_FILES:
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


# ---- .venv and its stamp


def test_an_environment_is_made_once_and_then_reused(install, calls, capsys):
    steps = [["torch", "numpy"], ["pytest"]]
    install.prepare("test", steps)
    assert calls == ["create", *steps]
    install.prepare("test", steps)
    assert calls == ["create", *steps] and "up to date" in capsys.readouterr().out


def test_a_changed_recipe_is_installed_into_the_same_environment(install, calls):
    install.prepare("demo", [["numpy"]])
    install.prepare("test", [["pytest"]])
    install.prepare("demo", [["numpy"]])
    install.prepare("demo", [["numpy", "av"]])
    assert calls == ["create", ["numpy"], ["pytest"], ["numpy", "av"]]


def test_an_environment_without_a_stamp_is_kept_and_installed_into(install, calls):
    install.VENV.mkdir()
    install.prepare("test", [["pytest"]])
    assert calls == [["pytest"]]


def test_a_cut_off_installation_starts_anew(install, calls):
    install.prepare("test", [["pytest"]])
    install.UNFINISHED.touch()
    install.prepare("test", [["pytest"]])
    assert calls == ["create", ["pytest"]] * 2


def test_a_failed_installation_leaves_no_stamp(install, calls, monkeypatch):
    install.prepare("test", [["pytest"]])

    def fail(step):
        raise install.SetupError("no network")

    monkeypatch.setattr(install, "pip_install", fail)
    with pytest.raises(install.SetupError):
        install.prepare("test", [["pytest", "ruff"]])
    monkeypatch.setattr(install, "pip_install", calls.append)
    install.prepare("test", [["pytest"]])  # the old recipe, too, has to be installed again
    assert calls == ["create", ["pytest"], ["pytest"]]


def test_an_environment_of_another_python_is_made_anew(install, calls, monkeypatch):
    install.prepare("test", [["pytest"]])
    monkeypatch.setattr(install, "environment_version", lambda: [3, 9])
    install.prepare("test", [["pytest"]])
    assert calls == ["create", ["pytest"]] * 2


def test_the_recipe_hash_sees_the_text_of_requirement_files(install, tmp_path, monkeypatch):
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("numpy>=1\n")
    steps = [["-r", str(requirements)]]
    before = install.recipe_hash(steps)
    assert before == install.recipe_hash(steps)
    requirements.write_text("numpy>=2\n")
    changed = install.recipe_hash(steps)
    monkeypatch.setattr(install, "TORCH_PINS", ("torch==2.12.0",))
    repinned = install.recipe_hash(steps)
    monkeypatch.setattr(sys, "version_info", (3, 15, 0))
    assert len({before, changed, repinned, install.recipe_hash(steps)}) == 4


def test_the_running_environment_is_not_emptied_under_itself(install, monkeypatch):
    monkeypatch.setattr(sys, "prefix", str(install.VENV))
    with pytest.raises(install.SetupError, match="its own Python is running"):
        install.create_environment()


# ---- pip


def stub_pip(install, monkeypatch, code: str) -> list:
    """Runs `code` in place of pip; what comes back fills with the (command, process) of each call."""
    install.VENV.mkdir()
    script = install.VENV / "pip.py"
    script.write_text("import os, sys, time\n" + code)
    real, started = subprocess.Popen, []

    def popen(command, **options):
        started.append((command, real([sys.executable, str(script)], **options)))
        return started[-1][1]

    monkeypatch.setattr(install.subprocess, "Popen", popen)
    return started


FAILURES = {
    "ERROR: Could not install packages: [Errno 28] No space left on device": "disk is full",
    "WARNING: NewConnectionError\nERROR: No matching distribution found for av": "cannot be reached",
    "ERROR: No matching distribution found for torch==2.11.0": "64-bit Python",
    "ERROR: Could not install packages: [Errno 13] Permission denied": "cannot be written",
    "ERROR: something new": "Read the log for the cause",
}


@pytest.mark.parametrize("output, cure", FAILURES.items())
def test_a_failure_of_pip_shows_the_log_and_says_what_to_do(install, monkeypatch, output, cure):
    stub_pip(install, monkeypatch, f"print({output!r}); sys.exit(1)")
    with pytest.raises(install.SetupError, match=cure) as caught:
        install.pip_install(["numpy"])
    assert output.splitlines()[-1] in str(caught.value) and str(install.LOG) in str(caught.value)
    assert not install.UNFINISHED.exists(), "nothing was written yet, so the environment is sound"


@pytest.mark.parametrize("exit_code", [1, 0])
def test_a_pip_that_fails_while_it_writes_leaves_the_mark(install, monkeypatch, exit_code):
    stub_pip(install, monkeypatch, f"print('Installing collected packages: numpy'); sys.exit({exit_code})")
    if exit_code:
        with pytest.raises(install.SetupError):
            install.pip_install(["numpy"])
    else:
        install.pip_install(["numpy"])
    assert install.UNFINISHED.exists() == bool(exit_code)


def test_an_interrupt_ends_pip_and_leaves_the_mark(install, monkeypatch):
    code = "print('Installing collected packages: x', flush=True); time.sleep(60)"
    started = stub_pip(install, monkeypatch, code)

    def say(text):
        if "Installing collected" in text:  # the user presses Ctrl-C while pip writes packages
            raise KeyboardInterrupt

    monkeypatch.setattr(install, "say", say)
    monkeypatch.setattr(install, "NEWS_EVERY", 0.1)
    with pytest.raises(KeyboardInterrupt):
        install.pip_install(["numpy"])
    assert started[0][1].poll() is not None and install.UNFINISHED.exists()


def test_long_installations_give_signs_of_life(install, monkeypatch, capsys):
    stub_pip(install, monkeypatch, "print('Downloading torch\\nWARNING: x', flush=True); time.sleep(1)")
    monkeypatch.setattr(install, "NEWS_EVERY", 0.2)
    install.pip_install(["torch"])
    news = capsys.readouterr().out
    assert "s: Downloading torch" in news and "WARNING" not in news


def test_every_call_of_pip_is_bound_to_one_set_of_torch(install, monkeypatch):
    started = stub_pip(install, monkeypatch, "pass")
    install.pip_install(["kornia"])
    command, _ = started[0]
    pins = Path(command[command.index("-c") + 1]).read_text().split()
    assert pins == ["torch==2.11.0", "torchvision==0.26.0", "torchaudio==2.11.0"]


# ---- demo and test


@pytest.fixture
def runs(install, monkeypatch):
    """The steps that would be installed and the commands that would be run; exit codes by command."""
    log = {"steps": [], "commands": [], "codes": {}}
    monkeypatch.setattr(install, "prepare", lambda recipe, steps: log["steps"].extend(steps))

    def run(*arguments):
        log["commands"].append(arguments)
        return log["codes"].get(arguments[1], 0)

    monkeypatch.setattr(install, "run", run)
    return log


def test_the_demo_gets_its_arguments_and_gives_its_exit_code(install, runs):
    runs["codes"]["fantasyid_core"] = 3
    assert install.main(["demo", "--steps", "2"]) == 3
    out = str(Path("output") / "demo.mp4")
    assert runs["commands"] == [("-m", "fantasyid_core", "demo", "--out", out, "--steps", "2")]
    (step,) = runs["steps"]
    assert step == ["torch==2.11.0", "torchvision==0.26.0", "-r", str(ROOT / "requirements.txt")]


def test_the_host_brings_its_own_requirements(install, runs, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    (tmp_path / "main.py").touch()
    assert install.main(["test", "-k", "x"]) == 0
    assert runs["commands"] == [("-m", "ruff", "check", "."), ("-m", "pytest", "-k", "x")]
    own, host, *_ = runs["steps"]
    assert str(ROOT / "tests/requirements.txt") in own and set(install.TORCH_PINS) < set(own)
    assert host == ["-r", str(tmp_path / "requirements.txt")]  # torch is bound by the constraints file
    assert f"ComfyUI found in {tmp_path}" in capsys.readouterr().out


def test_without_a_host_the_skipped_tests_are_announced(install, runs, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    assert install.main(["test"]) == 0
    assert len(runs["steps"]) == 3 and "SKIPPED" in capsys.readouterr().out


def test_peers_come_without_their_own_requirements_and_after_ours(install, runs, tmp_path, monkeypatch):
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    install.main(["test"])
    own, peers, numba = runs["steps"]
    assert str(ROOT / "tests/requirements.txt") in own
    assert peers == ["--no-deps", "-r", str(ROOT / "tests/requirements-no-deps.txt")]
    assert numba[0].startswith("numba>=")
    named = install.parse_requirements((ROOT / "tests" / "requirements-no-deps.txt").read_text())
    assert {name for name, _ in named} == {"insightface", "facexlib"}


def fail_for(install, monkeypatch, failing: str) -> list:
    """`prepare` that fails for one recipe; what comes back fills with the recipes that were asked for."""
    asked = []

    def prepare(recipe, steps):
        asked.append(recipe)
        if recipe == failing:
            raise install.SetupError("no wheel for this Python")

    monkeypatch.setattr(install, "prepare", prepare)
    return asked


@pytest.mark.parametrize("failing", ["peers", "numba"])
def test_a_peer_that_cannot_be_installed_is_said_and_the_tests_run(install, runs, monkeypatch, capsys, failing):
    asked = fail_for(install, monkeypatch, failing)
    assert install.main(["test"]) == 0
    assert asked == ["test", "peers", "numba"] and len(runs["commands"]) == 2
    out = capsys.readouterr().out
    assert "no wheel for this Python" in out and "optional" in out and "SKIPPED" in out


def test_a_requirement_that_cannot_be_installed_ends_the_test_run(install, runs, monkeypatch, capsys):
    asked = fail_for(install, monkeypatch, "test")
    assert install.main(["test"]) == 1
    assert asked == ["test"] and not runs["commands"] and "no wheel" in capsys.readouterr().out


def test_a_failing_peer_is_tried_again_and_the_others_are_kept(install, calls, monkeypatch):
    def fail(step):
        raise install.SetupError("no network")

    install.prepare("test", [["pytest"]])
    with monkeypatch.context() as patch:
        patch.setattr(install, "pip_install", fail)
        install.prepare_optional("peers", ["--no-deps", "insightface"])
    install.prepare("test", [["pytest"]])
    install.prepare_optional("peers", ["--no-deps", "insightface"])
    install.prepare_optional("peers", ["--no-deps", "insightface"])
    assert calls == ["create", ["pytest"], ["--no-deps", "insightface"]]


@pytest.mark.parametrize("ruff, tests, expected", [(0, 1, 1), (1, 0, 1), (1, 5, 5)])
def test_a_failing_check_fails_the_whole(install, runs, capsys, ruff, tests, expected):
    runs["codes"].update(ruff=ruff, pytest=tests)
    assert install.main(["test"]) == expected
    assert len(runs["commands"]) == 2 and ("ruff check found" in capsys.readouterr().out) == bool(ruff)


def test_an_interrupt_and_a_full_disk_are_sentences(install, runs, monkeypatch, capsys):
    def interrupt(recipe, steps):
        raise KeyboardInterrupt

    def full(recipe, steps):
        raise OSError(28, "No space left on device", "install.log")

    monkeypatch.setattr(install, "prepare", interrupt)
    assert install.main(["demo"]) == 130
    assert "same command again" in capsys.readouterr().out
    monkeypatch.setattr(install, "prepare", full)
    assert install.main(["demo"]) == 1
    assert "No space left on device" in capsys.readouterr().out
