"""Sets FantasyID up on a machine that has only Python 3.10 or newer.

    python install.py               looks at this Python and at the model files; changes nothing
    python install.py demo [...]    makes .venv, installs into it, makes small videos (output/demo)
    python install.py test [...]    makes .venv, installs into it, runs the checks
    python install.py test --comfyui [...]    fetches ComfyUI into .comfyui, too, and runs the checks in it

Further arguments of demo go to `python -m fantasyid_core demo`, those of test to pytest. The first form
is what ComfyUI-Manager calls, with ComfyUI's own Python: it installs and downloads nothing.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).absolute().parent  # not resolved: a linked pack must see the custom_nodes it lies in
VENV = ROOT / ".venv"
LOG = VENV / "install.log"
UNFINISHED = VENV / "install-unfinished"  # present while pip works; what it leaves when cut off is unusable

OLDEST_PYTHON = (3, 10)
# A set that works on CPU and GPU; a torchaudio of another release would fail. Only .venv is held to it.
TORCH_PINS = ("torch==2.11.0", "torchvision==0.26.0", "torchaudio==2.11.0")
# Peers that single tests compare with. Their own requirements would bring a second OpenCV, so they come without.
DRAWING = ["numba>=0.59"]  # what draws people: for the demo, the node Sample Person and training
PEERS = {"peers": ["--no-deps", "-r", "tests/requirements-no-deps.txt"], "numba": DRAWING}
COMFYUI = ROOT / ".comfyui"  # what `test --comfyui` fetches
COMFYUI_SOURCE = "https://github.com/comfyanonymous/ComfyUI"
COMFYUI_TAG = "v0.33.0"  # the release that the tests were made with
NEWS_EVERY = 20  # seconds between signs of life while pip works

PIP_FAILURES = (
    (
        r"No space left on device|Errno 28|not enough space on the disk",
        "The disk is full. Free some space (.venv takes about 7 GB on Linux) and run the same command again.",
    ),
    (
        r"NewConnectionError|NameResolutionError|ConnectTimeoutError|ReadTimeoutError|ProxyError|SSLError"
        r"|Connection broken|ConnectionResetError|getaddrinfo failed|Network is unreachable",
        "The package index cannot be reached. Check the network connection (and the proxy settings, if you "
        "use one) and run the same command again.",
    ),
    (
        r"No matching distribution found|ResolutionImpossible|requires a different Python",
        "A package is not offered for this Python or system, or the package index did not answer. "
        "Run install.py with a 64-bit Python 3.10 to 3.13, check the network connection, and try again.",
    ),
    (
        r"Permission denied|Access is denied|Errno 13",
        "A file in .venv cannot be written. Close the programs that use it, make sure that this folder "
        "belongs to you, and run the same command again.",
    ),
)


class SetupError(RuntimeError):
    """Something the user has to mend; the text says what and how."""


def main(arguments: list[str]) -> int:
    """Runs one subcommand and returns the exit code (0 fine, 1 a problem, 2 wrong usage, 130 interrupted)."""
    command, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if command in ("-h", "--help"):
        say(__doc__)
        return 0
    if command not in ("", "demo", "test"):
        say(f'install.py does not know "{command}".\n\n{__doc__}')
        return 2
    if sys.version_info[:2] < OLDEST_PYTHON:
        say(f"FantasyID needs Python 3.10 or newer; this is {sys.version.split()[0]} ({sys.executable}).")
        return 1
    try:
        if not command:
            return check()
        return demo(rest) if command == "demo" else test(rest)
    except KeyboardInterrupt:
        say("Interrupted. Run the same command again: it picks up from a clean state.")
        return 130
    except (SetupError, OSError) as error:
        say(f"install.py: {error}")
        return 1


# ---- the look at the environment and the model files


def check() -> int:
    """Reports on this Python and the model files. Returns 1 if a required package is missing or too old."""
    say(f"FantasyID looks at Python {sys.version.split()[0]} ({sys.executable}); it installs nothing.")
    requirements = load_room("running").requirements
    try:
        problems = requirements.problems(ROOT / "requirements.txt")
    except ValueError as error:
        raise SetupError(str(error)) from None
    for line in problems:
        say(line)
    if problems:
        say(
            "Outside ComfyUI, `python install.py demo` sets up everything. Inside it, run this file with "
            "ComfyUI's own Python."
        )
    else:
        say(f"Packages: all present, torch {requirements.installed_version('torch')}.")
    for line in load_room("modelfiles").found_and_missing():
        say(line)
    return 1 if problems else 0


def load_room(name: str):
    """The package fantasyid_core/<name>, loaded by its path; one that needs the standard library only.

    By path, because an embedded Python (ComfyUI's portable Windows build) does not search this folder.
    """
    folder = ROOT / "fantasyid_core" / name
    spec = importlib.util.spec_from_file_location(
        f"fantasyid_{name}", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its modules import each other through it
    spec.loader.exec_module(module)
    return module


# ---- demo and test, in an environment of their own


def demo(arguments: list[str]) -> int:
    """Installs what the demo needs and runs it; the demo's exit code."""
    prepare("demo", [[*TORCH_PINS[:2], *requirement("requirements.txt"), *DRAWING]])
    out = str(Path("output") / "demo")
    return run("-m", "fantasyid_core", "demo", "--out", out, *arguments)


def test(arguments: list[str]) -> int:
    """Installs what the tests need and runs ruff and pytest; the exit code of the tests, or else of ruff."""
    steps = [[*TORCH_PINS, *requirement("requirements.txt"), *requirement("tests/requirements.txt")]]
    if "--comfyui" in arguments:
        arguments = [word for word in arguments if word != "--comfyui"]
        os.environ["COMFYUI_PATH"] = str(fetch_comfyui())
    host = load_room("modelfiles").find_comfyui()
    if host:
        say(f"ComfyUI found in {host}: its tests run too.")
        steps.append(["-r", str(host / "requirements.txt")])
    else:
        say(
            "No ComfyUI found (COMFYUI_PATH, ~/comfy/ComfyUI): tests that need it will be SKIPPED. "
            "python3 install.py test --comfyui fetches it."
        )
    prepare("test", steps)
    for name, words in PEERS.items():
        prepare_optional(name, [str(ROOT / word) if word.endswith(".txt") else word for word in words])
    say("ruff check .")
    lint = run("-m", "ruff", "check", ".")
    say("python -m pytest " + " ".join(arguments := arguments or in_parallel()))
    tests = run("-m", "pytest", *arguments)
    if lint:
        say("ruff check found problems: see above.")
    return tests or lint


def fetch_comfyui() -> Path:
    """The folder of the ComfyUI release that the tests were made with; fetched by git unless it is there already."""
    stamp = COMFYUI / "fetched-release"  # written last, so that it stands for a whole folder
    if stamp.is_file() and stamp.read_text(encoding="utf-8").strip() == COMFYUI_TAG:
        say(f"ComfyUI {COMFYUI_TAG} is there already: {COMFYUI}")
        return COMFYUI
    if COMFYUI.exists() and not (COMFYUI / "main.py").is_file() and any(COMFYUI.iterdir()):
        raise SetupError(f"Expected ComfyUI or nothing at {COMFYUI}, got a folder of something else. Move it away.")
    part = COMFYUI.with_name(COMFYUI.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    say(f"Fetching ComfyUI {COMFYUI_TAG} from {COMFYUI_SOURCE}")
    command = ["git", "clone", "--quiet", "--depth", "1", "--branch", COMFYUI_TAG, COMFYUI_SOURCE, str(part)]
    try:
        done = run_quietly(command, env={**os.environ, "GIT_TERMINAL_PROMPT": "0"})
    except FileNotFoundError:
        raise SetupError(
            "git is not installed, so ComfyUI cannot be fetched. Install git, or set COMFYUI_PATH to a ComfyUI that "
            "you have, and run the same command again."
        ) from None
    if done.returncode or not (part / "main.py").is_file():
        shutil.rmtree(part, ignore_errors=True)
        reason = last_lines(done.stdout) or "what came is no ComfyUI: there is no main.py."
        raise SetupError(
            f"ComfyUI {COMFYUI_TAG} could not be fetched from {COMFYUI_SOURCE}:\n{reason}\nCheck the network "
            "connection and the free space, or set COMFYUI_PATH to a ComfyUI that you have; then run the same command "
            "again."
        )
    shutil.rmtree(COMFYUI, ignore_errors=True)
    part.rename(COMFYUI)
    stamp.write_text(COMFYUI_TAG + "\n")
    return COMFYUI


def in_parallel() -> list[str]:
    """pytest's arguments for all tests in several processes; each has one thread, or they would wait for each other."""
    if (count := min(os.cpu_count() or 1, 4)) > 1:  # each takes up to 5 GiB of memory
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    return ["-n", str(count), "--dist", "loadgroup"] if count > 1 else []


def requirement(path: str) -> list[str]:  # pip's arguments for one of this project's files
    return ["-r", str(ROOT / path)]


def prepare(recipe: str, steps: list[list[str]]) -> None:
    """Makes .venv hold what `steps` ask for (one list of pip arguments for each pip call).

    .venv/installed-<recipe> holds the hash of what was installed; if it still fits, nothing is done.
    .venv/install-unfinished tells that pip was cut off while it wrote packages: then, and when .venv
    belongs to another Python, the environment is made anew (pip's cache is kept).
    """
    stamp = VENV / f"installed-{recipe}"
    wanted = recipe_hash(steps)
    anew = UNFINISHED.exists() or environment_version() != list(sys.version_info[:2])
    if not anew and stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        say(f".venv is up to date ({recipe}).")
        return
    if anew:
        create_environment()
    stamp.unlink(missing_ok=True)
    for step in steps:
        pip_install(step)
    stamp.write_text(wanted)


def prepare_optional(recipe: str, step: list[str]) -> None:
    """Like `prepare` for packages that single tests compare with; a failure is said and costs only these tests."""
    try:
        prepare(recipe, [step])
    except SetupError as error:
        say(f"{error}\nThis was optional: the tests that compare with these packages will be SKIPPED.")


def recipe_hash(steps: list[list[str]]) -> str:
    """Changes with Python, the pins, the packages, and the text of the requirement files."""
    texts = [
        [Path(word).read_text(encoding="utf-8") if os.path.isabs(word) else word for word in step] for step in steps
    ]
    return hashlib.sha256(repr((sys.version_info[:2], sys.platform, TORCH_PINS, texts)).encode()).hexdigest()


def environment_python() -> Path:
    """The interpreter inside .venv."""
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def environment_version() -> list[int] | None:
    """[major, minor] of .venv's Python, or None when there is no environment that works and has pip."""
    command = [str(environment_python()), "-c", "import sys, pip; print(*sys.version_info[:2])"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except OSError:
        return None
    return [int(number) for number in answer.stdout.split()] if answer.returncode == 0 else None


def create_environment() -> None:
    """Makes an empty .venv with this Python; one that is there already is emptied."""
    if Path(sys.prefix).resolve() == VENV.resolve():
        raise SetupError(
            f"{VENV} has to be made anew, but its own Python is running. "
            "Run install.py with the system's Python instead."
        )
    say(f"Making .venv {'anew ' if VENV.exists() else ''}with Python {sys.version.split()[0]}")
    made = run_quietly([sys.executable, "-m", "venv", "--clear", str(VENV)])
    if made.returncode:
        raise SetupError(
            f"{VENV} could not be made.\n{last_lines(made.stdout)}\n"
            "If venv or ensurepip is missing, install it (Debian, Ubuntu: apt install python3-venv). "
            "If the disk is full or the folder is read-only, mend that. Then run the same command again."
        )


def pip_install(arguments: list[str]) -> None:
    """One quiet pip call inside .venv. Raises SetupError with the end of the log and what to do."""
    constraints = VENV / "constraints.txt"
    constraints.write_text("\n".join(TORCH_PINS) + "\n")
    options = ["--no-input", "--disable-pip-version-check", "--progress-bar", "off", "-c", str(constraints)]
    names = [word.replace(str(ROOT) + os.sep, "") for word in arguments if word != "-r"]
    say(f"Installing {' '.join(names)} (log: {LOG})")
    command = [str(environment_python()), "-m", "pip", "install", *options, *arguments]
    UNFINISHED.touch()
    code = None
    try:
        with LOG.open("w") as log:
            process = subprocess.Popen(
                command, cwd=VENV, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        code = wait_with_news(process)
    finally:
        if code == 0 or "Installing collected packages" not in read_log():
            UNFINISHED.unlink()
    if code:
        raise SetupError(pip_failure(read_log()))


def wait_with_news(process: subprocess.Popen) -> int:
    """Waits for pip, saying now and then what it is at; its exit code. An interrupt ends pip, too."""
    started = time.monotonic()
    try:
        while True:
            try:
                return process.wait(timeout=NEWS_EVERY)
            except subprocess.TimeoutExpired:
                news = re.sub(r"(?m)^WARNING:.*\n", "", read_log())
                say(f"  {time.monotonic() - started:.0f} s: {last_lines(news, count=1).strip()[:90]}")
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def read_log() -> str:
    return LOG.read_text(encoding="utf-8", errors="replace")


def pip_failure(log: str) -> str:
    """The end of pip's log and a sentence on what to do about it."""
    ending = last_lines(log)
    cure = next((cure for pattern, cure in PIP_FAILURES if re.search(pattern, log)), None)
    return f"Installing failed. The last lines of {LOG}:\n{ending}\n" + (
        cure or "Read the log for the cause, mend it, and run the same command again."
    )


def last_lines(text: str, count: int = 12) -> str:
    """The last `count` lines of `text` that are not empty."""
    return "\n".join([line for line in text.splitlines() if line.strip()][-count:])


def run_quietly(command: list[str], **options) -> subprocess.CompletedProcess:
    """Runs a command that asks nothing; all that it writes is in the answer's `stdout`."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.run(command, text=True, **pipes, **options)


def run(*arguments: str) -> int:
    """Runs .venv's Python in this folder, its output going where ours goes; its exit code."""
    return subprocess.call([str(environment_python()), *arguments], cwd=ROOT)


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.dont_write_bytecode = True  # the plain look at the environment leaves no trace
    sys.stdout.reconfigure(errors="replace")  # a console may lack the characters of a path
    sys.exit(main(sys.argv[1:]))
