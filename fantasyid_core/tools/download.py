"""Downloads a model file on request: it resumes, verifies, and never leaves a partial file under the final name.

All downloads of the project go through this module. huggingface_hub downloads from Hugging Face, and https is used for
everything else. A download is written beside its final place, checked against the size and SHA-256 in the table of
model files, and then renamed. An unusable file that is already there is renamed, not deleted.

The library Pooch (version 1.9.0) lacks three things that downloads of several gigabytes need: resuming an interrupted
download, checking the size before the first byte, and refusing redirects to addresses without encryption.
"""

from __future__ import annotations

import errno
import http.client
import os
import re
import shutil
import ssl
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path

from ..modelfiles import MODEL_FILES, ModelFile, OfficialFile, file_problems, find_model_file, sha256

TIMEOUT = 30  # seconds without a byte
WAITS = (1, 2, 5, 10)  # seconds before another attempt
BLOCK = 2**20
RESERVE = 10 * 2**20  # bytes that a disk keeps free
WORTH_A_RETRY = (408, 429, 500, 502, 503, 504)
_NETWORK = (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException, ssl.SSLError)
_GO_ON = "Run the same command again: it goes on where it stopped."

Progress = Callable[[int, int], None]  # bytes done, bytes in all
Say = Callable[[str], None]


def find_row(name: str) -> ModelFile:
    """The row of the table meant by a key, a file name or the name in the table; ValueError naming the keys."""
    wanted = name.lower()
    for row in MODEL_FILES:
        names = (row.key, row.name, row.belongs.rsplit("/")[-1], *(file.name for file in row.official))
        if wanted in (known.lower() for known in names):
            return row
    raise ValueError(f"Expected one of {', '.join(row.key for row in MODEL_FILES)}, or a file name, got {name!r}.")


def refusal(row: ModelFile, accept_licence: bool) -> str | None:
    """Why the file of `row` is not downloaded, and what to do instead; None when nothing is in the way."""
    if row.download is None:
        return (
            f"{row.name} may not be downloaded for you ({row.licence}). Register at {row.sources[0]}, accept the "
            f"licence, download the file there yourself and put it into models/{row.belongs}."
        )
    if row.must_accept and not accept_licence:
        return (
            f"{row.name} is restricted ({row.licence}). Read the terms at {row.sources[0].split('/releases/')[0]}; if "
            f"you accept them, run `python -m fantasyid_core download {row.key} --accept-licence`."
        )
    return None


def download(
    row: ModelFile,
    models: Path,
    accept_licence: bool = False,
    progress: Progress = lambda done, total: None,
    say: Say = print,
) -> Path:
    """Brings the file of `row` below the folder `models` (ComfyUI's) and returns where it is.

    Does nothing when a usable one is there. Raises RuntimeError when the licence forbids it or nothing usable
    came, ValueError when `models` is no folder, OSError when it cannot be written; nothing is lost by any.
    """
    if reason := refusal(row, accept_licence):
        raise RuntimeError(reason)
    if not models.is_dir():
        raise ValueError(f"Expected ComfyUI's models folder, got {models}, which is no folder. Make it first.")
    found = find_model_file(row.key, [models])
    problems = file_problems(row, found, whole=True) if found else []
    if found and not problems:
        say(f"{row.name} is already there: {found}")
        return found
    if problems:
        say(f"{found} is not usable: {problems[0]}")
    target = _target(row, models)
    if target.is_dir() and row.download.file is not None:
        raise OSError(f"Expected a file or nothing at {target}, got a folder of this name. Move it away.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _disk_error(target, error) from error
    say(f"{row.name}: {row.licence}\nfrom {row.download.page} to {target}")
    if row.download.from_hub:
        _from_hub(row, target, say)
    else:
        _from_https(row, target, progress, say)
    first = find_model_file(row.key, [models])
    if first is None:
        say(f"note: {target} came whole, but does not have the layout that is looked for; see `doctor`.")
    elif not first.is_relative_to(target):
        say(f"note: {first} is found before {target}; rename or move what should not be used.")
    return target


def fetch(
    addresses: tuple[str, ...], file: OfficialFile, part: Path, progress: Progress = lambda done, total: None
) -> None:
    """Brings `file` (size and hash known) from the first address that has it to the path `part`.

    What an earlier attempt left in `part` is kept and continued. Raises RuntimeError when no address has the
    file, the connection fails for good (`part` stays), or something else came (`part` goes).
    """
    _check_space(part, file.size)
    problem = ""
    for address in addresses:
        earlier = part.exists()
        problem = _receive_all(address, file, part, progress)
        if problem is None and earlier and sha256(part) != file.sha256:
            part.unlink()  # what was continued may not have been the same file
            problem = _receive_all(address, file, part, progress)
        if problem is None:
            return _verify(part, file, address)
    raise RuntimeError(f"{file.name} could not be fetched: {problem}")


def _receive_all(address: str, file: OfficialFile, part: Path, progress: Progress) -> str | None:
    """None when `part` has its size; a reason when this address does not have the file. Raises on the rest."""
    failures = 0  # in a row, without a byte more
    while True:
        before, error = _size(part), "the connection ended early"
        try:
            _receive(address, file, part, progress)
            if _size(part) == file.size:
                return None
        except urllib.error.HTTPError as answer:
            error = f"{address} answers {answer.code} {answer.reason}"
            if answer.code == 416:  # there is no more: what is here is not from this file
                part.unlink(missing_ok=True)
            elif answer.code not in WORTH_A_RETRY:
                return f"{error}. It may have moved; look for it in a browser and put it in its place by hand."
        except _NETWORK as failure:
            error = getattr(failure, "reason", failure) or type(failure).__name__
        except OSError as failure:
            raise _disk_error(part, failure) from failure
        failures = 1 if _size(part) > before else failures + 1
        if failures > len(WAITS):
            raise RuntimeError(
                f"{file.name} could not be fetched from {address}: {error}. Check the network connection (and the "
                f"proxy settings, if you use one). {_GO_ON}"
            )
        time.sleep(WAITS[failures - 1])


def _receive(address: str, file: OfficialFile, part: Path, progress: Progress) -> None:
    have = _size(part)
    if have > file.size:
        part.unlink()
        have = 0
    if have == file.size:
        return
    headers = {"User-Agent": "fantasyid", "Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    opener = urllib.request.build_opener(_StayEncrypted)
    with opener.open(urllib.request.Request(address, headers=headers), timeout=TIMEOUT) as answer:
        if answer.status == 206 and not re.match(rf"bytes {have}-", answer.headers.get("Content-Range", "")):
            raise http.client.HTTPException("the server sends another range than was asked for")
        done = have if answer.status == 206 else 0
        _check_length(answer.headers, done, file, address)
        with open(part, "ab" if done else "wb") as out:
            while block := answer.read(min(BLOCK, file.size - done + 1)):
                done += len(block)
                if done > file.size:
                    raise RuntimeError(_other_size(file, address, f"more than {file.size} bytes"))
                out.write(block)
                progress(done, file.size)


class _StayEncrypted(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, request, stream, code, message, headers, address):
        if request.full_url.startswith("https://") and not address.startswith("https://"):
            raise RuntimeError(
                f"{request.full_url} leads to the unencrypted address {address}. Nothing was fetched from there; "
                "look for the file in a browser and put it in its place by hand."
            )
        return super().redirect_request(request, stream, code, message, headers, address)


def _check_length(headers, done: int, file: OfficialFile, address: str) -> None:
    length = headers.get("Content-Length", "")
    if length.isdigit() and done + int(length) != file.size:
        kind = headers.get_content_type()
        raise RuntimeError(_other_size(file, address, f"{done + int(length)} bytes ({kind})"))


def _other_size(file: OfficialFile, address: str, got: str) -> str:
    return (
        f"Expected {file.name} of {file.size} bytes, got {got} from {address}: the file there is another one now, or "
        "a web page stands in for it. Nothing was changed."
    )


def _verify(part: Path, file: OfficialFile, address: str) -> None:
    """Raises RuntimeError, and removes `part`, unless it is `file` to the last bit."""
    size, got = part.stat().st_size, sha256(part)
    if (size, got) != (file.size, file.sha256):
        part.unlink()
        raise RuntimeError(
            f"Expected {file.name} of {file.size} bytes with SHA-256 {file.sha256}, got {size} bytes with {got} from "
            f"{address}: it was changed there or on the way. It was thrown away, nothing else was changed."
        )


def _from_https(row: ModelFile, target: Path, progress: Progress, say: Say) -> None:
    wanted = row.download
    part = target.with_name(f"{wanted.file.name}.part")
    fetch(wanted.addresses, wanted.file, part, progress)
    if not wanted.path:
        return put_in_place(part, target, say)
    done = []
    for other in (row, *MODEL_FILES):  # one archive holds the files of several rows
        place = target.with_name(other.belongs.rsplit("/")[-1])
        shared = other.download and other.download.file == wanted.file and place not in done
        if shared and (other == row or not place.exists()):
            _unpack(part, other.official[0], place, say)
            done.append(place)
    part.unlink()


def _unpack(archive: Path, file: OfficialFile, target: Path, say: Say) -> None:
    part = target.with_name(f"{target.name}.part")
    _check_space(part, file.size)
    try:
        with zipfile.ZipFile(archive) as packed:
            name = next((name for name in packed.namelist() if name.rsplit("/")[-1] == file.name), None)
            if name is None or packed.getinfo(name).file_size != file.size:
                raise RuntimeError(f"Expected {file.name} of {file.size} bytes inside {archive.name}, got none.")
            with packed.open(name) as source, open(part, "wb") as out:
                shutil.copyfileobj(source, out, BLOCK)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise _disk_error(part, error) from error
    _verify(part, file, archive.name)
    put_in_place(part, target, say)


def _from_hub(row: ModelFile, target: Path, say: Say) -> None:
    import huggingface_hub

    repository, file = row.download.addresses[0], row.download.file
    aside = target.with_name(f".{target.name}.download")
    if file:
        _check_space(aside, file.size)
    try:
        if file is None:
            huggingface_hub.snapshot_download(repository, local_dir=aside)
        else:
            part = Path(huggingface_hub.hf_hub_download(repository, row.download.path, local_dir=aside))
    except Exception as error:  # of half a dozen libraries, by version
        raise _hub_error(row, aside, error) from error
    if file is None:
        shutil.rmtree(aside / ".cache", ignore_errors=True)  # the library's notes on how far it was
        return put_in_place(aside, target, say)
    try:
        _verify(part, file, row.download.page)
        put_in_place(part, target, say)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _hub_error(row: ModelFile, aside: Path, error: Exception) -> Exception:
    names, page = {kind.__name__ for kind in type(error).__mro__}, row.download.page
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT):
        return _disk_error(aside, error)
    if "GatedRepoError" in names:
        return RuntimeError(
            f"{page} is open to known users only: ask for access there, log in with `hf auth login` and run the same "
            "command again."
        )
    if names & {"LocalEntryNotFoundError", "OfflineModeIsEnabled", "ConnectionError", "TimeoutError", "TransportError"}:
        return RuntimeError(
            f"{page} cannot be reached ({error}). Check the network connection, the proxy settings and HF_HUB_OFFLINE. "
            f"{_GO_ON}"
        )
    if names & {"RepositoryNotFoundError", "RevisionNotFoundError", "EntryNotFoundError"}:
        other = f", or get it from {row.sources[1]}" if len(row.sources) > 1 else ""
        return RuntimeError(f"{row.name} is not at {page} any more ({error}). Look for it there{other}.")
    return RuntimeError(f"{row.name} could not be fetched from {page}: {error or type(error).__name__}. {_GO_ON}")


def _target(row: ModelFile, models: Path) -> Path:
    if row.download.file is None:  # a whole folder
        return models / "fantasyid" / ("FantasyID" if row.key == "weights" else row.belongs.split("/")[1])
    return models / row.belongs


def put_in_place(part: Path, target: Path, say: Say) -> None:
    """Gives `part` the name `target`; what has this name already is kept as name.bad, name.bad-2 ..."""
    aside = None
    if os.path.lexists(target):
        names = (f"{target.name}.bad{f'-{number}' if number > 1 else ''}" for number in range(1, 10_000))
        aside = next(path for path in map(target.with_name, names) if not os.path.lexists(path))
        target.rename(aside)
    try:
        part.rename(target)
    except OSError:
        if aside:
            aside.rename(target)
        raise
    if aside:
        say(f"What was there before is now called {aside.name}.")
    say(f"done: {target}")


def _check_space(part: Path, size: int) -> None:
    have = _size(part)
    free = shutil.disk_usage(part.parent).free
    if free < size - have + RESERVE:
        raise OSError(
            f"Expected {(size - have + RESERVE) / 2**20:.0f} MB of free space in {part.parent}, got "
            f"{free / 2**20:.0f} MB. Free some space or give another folder with --models. Nothing was changed."
        )


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def _disk_error(part: Path, error: OSError) -> OSError:
    reason = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror or str(error)
    return OSError(
        f"{part.parent} cannot be written: {reason}. Mend that, or give another folder with --models. {_GO_ON}"
    )
