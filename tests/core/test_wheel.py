"""The wheel: it holds every file of the package, installs anywhere, and works there without the checkout."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import fantasyid_core

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "fantasyid_core"
NOT_SHIPPED = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")

pytestmark = pytest.mark.slow


def pip(*arguments: object) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def isolation() -> list[str]:
    """pip's option to build with the setuptools of this environment, where that one can make a wheel by itself."""
    major, minor = map(int, importlib.metadata.version("setuptools").split(".")[:2])
    return ["--no-build-isolation"] if (major, minor) >= (70, 1) else []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from a copy, because setuptools leaves its work beside the sources."""
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(PACKAGE, source / "fantasyid_core", ignore=NOT_SHIPPED)
    for name in ("pyproject.toml", "README.md", "LICENSE", "requirements.txt"):
        shutil.copy(ROOT / name, source)
    pip("wheel", "--quiet", "--no-deps", *isolation(), "--wheel-dir", source / "wheel", source)
    (path,) = (source / "wheel").glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A function: runs the console script `fantasyid`, installed into a folder of its own, in an empty folder."""
    target, elsewhere = tmp_path_factory.mktemp("installed"), tmp_path_factory.mktemp("elsewhere")
    pip("install", "--quiet", "--no-deps", "--no-index", "--target", target, wheel)
    script = next(path for path in (target / "bin").iterdir() if path.stem == "fantasyid")
    environment = {name: value for name, value in os.environ.items() if name != "FANTASYID_MODELS"}
    environment |= {"PYTHONPATH": str(target), "COMFYUI_PATH": str(elsewhere / "absent"), "PYTHONSAFEPATH": "1"}

    def run(*command: str) -> subprocess.CompletedProcess:
        program = [str(script)] if command[0] == "fantasyid" else [sys.executable]
        return subprocess.run(
            [*program, *command[1:]], cwd=elsewhere, env=environment, capture_output=True, text=True, check=False
        )

    run.folder, run.target = elsewhere, target
    return run


def metadata(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def requirements(path: Path) -> set[str]:
    lines = (line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return {line for line in lines if line}


def test_every_file_of_the_package_is_in_the_wheel(wheel):
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if name.startswith("fantasyid_core/")}
    wanted = {path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*") if path.is_file()}
    assert shipped == {name for name in wanted if not re.search(r"__pycache__|\.pyc$|/\.", name)}


def test_version_and_requirements_are_those_of_the_sources(wheel):
    told = metadata(wheel)
    assert told["Version"] == fantasyid_core.__version__
    required = {}
    for line in told.get_all("Requires-Dist"):
        name, _, condition = line.partition(";")
        extra = re.search(r"extra == ['\"](\w+)['\"]", condition)
        required.setdefault(extra[1] if extra else "", set()).add(name.strip())
    assert required[""] == requirements(ROOT / "requirements.txt")
    assert required["test"] == requirements(ROOT / "tests" / "requirements.txt")
    assert required.keys() == {"", "credentials", "detectors", "draw", "train", "test"}


def test_the_installed_package_is_not_the_checkout(installed):
    done = installed("python", "-c", "import fantasyid_core; print(fantasyid_core.__file__)")
    assert Path(done.stdout.strip()).is_relative_to(installed.target), done.stderr


def test_doctor_runs_where_it_is_installed(installed):
    done = installed("fantasyid", "doctor")
    assert done.returncode == 1, done.stderr  # no model file is there
    assert "FantasyID weights" in done.stdout and not done.stderr
    assert installed("fantasyid", "--help").stdout.startswith("usage: fantasyid ")


def test_the_demo_makes_its_videos_where_it_is_installed(installed):
    pytest.importorskip("numba", reason="drawing people needs numba: pip install numba")
    done = installed("fantasyid", "demo", "--people", "3")
    assert done.returncode == 0, done.stdout + done.stderr
    made = installed.folder / "output" / "demo"
    assert {"demo.html", "demo.mp4", "sheet.png", "report.json"} <= {path.name for path in made.iterdir()}
