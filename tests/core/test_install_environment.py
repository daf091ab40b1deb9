"""install.py: the environment it makes, its stamp, pip's failures, and the commands demo and test."""

from __future__ import annotations

import shutil
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


def test_long_installations_give_signs_of_life(install, monkeypatch, tmp_path):
    """pip ends here when the user has seen one, after a minute at the latest."""
    seen, news = tmp_path / "seen", []
    end = f"any(os.path.exists({str(seen)!r}) or time.sleep(0.1) for _ in range(600))"
    stub_pip(install, monkeypatch, f"print('Downloading torch\\nWARNING: x', flush=True); {end}")

    def say(text):
        news.append(text)
        if "Downloading" in text:
            seen.touch()

    monkeypatch.setattr(install, "say", say)
    monkeypatch.setattr(install, "NEWS_EVERY", 0.2)
    install.pip_install(["torch"])
    assert any("s: Downloading torch" in line for line in news) and "WARNING" not in "".join(news)


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
    out = str(Path("output") / "demo")
    assert runs["commands"] == [("-m", "fantasyid_core", "demo", "--out", out, "--steps", "2")]
    (step,) = runs["steps"]
    assert step == ["torch==2.11.0", "torchvision==0.26.0", "-r", str(ROOT / "requirements.txt"), "numba>=0.59"]


def test_the_host_brings_its_own_requirements(install, runs, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    (tmp_path / "main.py").touch()
    assert install.main(["test", "-k", "x"]) == 0
    assert runs["commands"] == [("-m", "ruff", "check", "."), ("-m", "pytest", "-k", "x")]
    own, host, *_ = runs["steps"]
    assert str(ROOT / "tests/requirements.txt") in own and set(install.TORCH_PINS) < set(own)
    assert host == ["-r", str(tmp_path / "requirements.txt")]  # torch is bound by the constraints file
    assert f"ComfyUI found in {tmp_path}" in capsys.readouterr().out


@pytest.mark.parametrize(("cores", "processes"), [(None, None), (1, None), (2, "2"), (64, "4")])
def test_all_tests_run_in_several_processes_of_one_thread(install, runs, monkeypatch, cores, processes):
    monkeypatch.setattr(install.os, "cpu_count", lambda: cores)
    monkeypatch.setattr(install.os, "environ", environment := {})
    assert install.main(["test"]) == 0
    parallel = ("-n", processes, "--dist", "loadgroup") if processes else ()
    assert runs["commands"][1] == ("-m", "pytest", *parallel)
    assert environment == ({"OMP_NUM_THREADS": "1"} if processes else {})


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
    named = requirements.parse((ROOT / "tests" / "requirements-no-deps.txt").read_text())
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


def test_an_interrupt_and_a_full_disk_are_explained(install, runs, monkeypatch, capsys):
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
