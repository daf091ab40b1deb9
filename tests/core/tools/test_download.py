"""Downloading over https: against a server on this machine; the network is never used."""

from __future__ import annotations

import errno
import io
import urllib.request
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from localserver import DATA, files, local_server, official, topology_row

from fantasyid_core.modelfiles import MODEL_FILES, Download, model_file
from fantasyid_core.tools import download as module
from fantasyid_core.tools.download import download, fetch


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(module, "WAITS", (0, 0, 0, 0))
    with local_server() as running:
        yield running


@pytest.fixture
def row(server):
    return topology_row(server)


@pytest.fixture
def models(tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


# ---- over https


def test_a_file_arrives_verified_with_progress_and_nothing_beside_it(row, models):
    steps, said = [], []
    path = download(row, models, progress=lambda *step: steps.append(step), say=said.append)
    assert path == models / "fantasyid" / "transform.pkl" and files(models) == {"fantasyid/transform.pkl": DATA}
    assert steps[-1] == (len(DATA), len(DATA)) and [done for done, _ in steps] == sorted({done for done, _ in steps})
    assert row.licence in said[0] and row.download.addresses[0] in said[0] and str(path) in said[0]


def test_a_usable_file_is_left_alone_wherever_it_is(row, models, server):
    there = models / "fantasyid" / "release" / "transform.pkl"
    there.parent.mkdir(parents=True)
    there.write_bytes(DATA)
    said = []
    assert download(row, models, say=said.append) == there
    assert said == [f"transform.pkl is already there: {there}"] and not server.asked


@pytest.mark.parametrize("bad", [b"", b"404: Not Found", DATA[:-1], DATA[:-1] + b"x", b"<html>" + DATA])
def test_an_unusable_file_is_renamed_and_kept(row, models, bad):
    there = models / "fantasyid" / "transform.pkl"
    there.parent.mkdir()
    there.write_bytes(bad)
    (there.parent / "transform.pkl.bad").write_bytes(b"an older one")
    said = []
    download(row, models, say=said.append)
    assert files(there.parent) == {
        "transform.pkl": DATA,
        "transform.pkl.bad": b"an older one",
        "transform.pkl.bad-2": bad,
    }
    assert said[0].startswith(f"{there} is not usable: ") and "now called transform.pkl.bad-2" in " ".join(said)


def test_an_unusable_file_that_is_found_first_is_told_and_left_alone(row, models):
    there = models / "fantasyid" / "a" / "assets" / "transform.pkl"
    there.parent.mkdir(parents=True)
    there.write_bytes(DATA[:-1])
    moved = replace(row, belongs="fantasyid/a/assets/other/transform.pkl")
    said = []
    download(moved, models, say=said.append)
    assert f"note: {there} is found before " in said[-1] and there.read_bytes() == DATA[:-1]


def test_an_unusable_file_stays_in_place_when_no_better_one_comes(row, models, server):
    there = models / "fantasyid" / "transform.pkl"
    there.parent.mkdir()
    there.write_bytes(b"404: Not Found")
    server.pages.clear()
    with pytest.raises(RuntimeError, match="answers 404"):
        download(row, models, say=lambda text: None)
    assert files(models) == {"fantasyid/transform.pkl": b"404: Not Found"}


def test_an_interrupted_download_goes_on_where_it_stopped(row, models, server):
    part = models / "fantasyid" / "transform.pkl.part"
    part.parent.mkdir()
    part.write_bytes(DATA[:1000])
    download(row, models, say=lambda text: None)
    assert server.asked == [("/file", "bytes=1000-")] and files(models) == {"fantasyid/transform.pkl": DATA}


def test_a_whole_part_needs_no_network(row, models, server):
    part = models / "fantasyid" / "transform.pkl.part"
    part.parent.mkdir()
    part.write_bytes(DATA)
    download(row, models, say=lambda text: None)
    assert not server.asked and files(models) == {"fantasyid/transform.pkl": DATA}


@pytest.mark.parametrize("left", [b"x" * 1000, b"x" * len(DATA), b"x" * (len(DATA) + 5)])
def test_what_was_left_by_something_else_is_fetched_anew(row, models, left):
    part = models / "fantasyid" / "transform.pkl.part"
    part.parent.mkdir()
    part.write_bytes(left)
    download(row, models, say=lambda text: None)
    assert files(models) == {"fantasyid/transform.pkl": DATA}


@pytest.mark.parametrize("how", ["no ranges", "no length", "busy twice"])
@pytest.mark.parametrize("have", [0, 1000])
def test_servers_without_ranges_or_lengths_and_busy_ones_serve_as_well(tmp_path, server, how, have):
    server.pages["/file"] = (how, DATA)
    (tmp_path / "part").write_bytes(DATA[:have])
    fetch((f"{server.address}/file",), official(DATA), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == DATA


def test_a_connection_that_breaks_again_and_again_still_brings_the_file(tmp_path, server):
    server.pages["/file"] = ("cut", DATA)
    fetch((f"{server.address}/file",), official(DATA), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == DATA
    starts = [0] + [int(asked[6:-1]) for _, asked in server.asked[1:]]
    assert starts == list(range(0, len(DATA), 100_000)), "each attempt goes on, beyond the usual number of attempts"


@pytest.mark.parametrize("how", ["dead", "wrong range", "503"])
def test_a_server_that_brings_nothing_is_given_up_with_what_came_kept(tmp_path, server, how):
    server.pages["/file"] = (how, DATA)
    (tmp_path / "part").write_bytes(DATA[:1000])
    with pytest.raises(RuntimeError, match="(?s)Check the network.*goes on where it stopped"):
        fetch((f"{server.address}/file",), official(DATA), tmp_path / "part")
    assert len(server.asked) == 5 and (tmp_path / "part").read_bytes() == DATA[:1000]


def test_an_unreachable_server_is_explained(tmp_path, server):
    server.shutdown()
    server.server_close()
    with pytest.raises(RuntimeError, match="(?s)could not be fetched.*refused.*Check the network connection"):
        fetch((f"{server.address}/file",), official(DATA), tmp_path / "part")
    assert not (tmp_path / "part").exists()


@pytest.mark.parametrize("code", ["401", "403", "404", "410"])
def test_the_next_address_is_tried_and_the_last_answer_told(tmp_path, server, code):
    server.pages["/old"] = (code, b"gone")
    fetch((f"{server.address}/old", f"{server.address}/file"), official(DATA), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == DATA and [path for path, _ in server.asked] == ["/old", "/file"]
    with pytest.raises(RuntimeError, match=f"(?s)/old answers {code}.*It may have moved.*by hand"):
        fetch((f"{server.address}/old",), official(DATA), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_redirects_are_followed_with_the_range_kept(tmp_path, server):
    server.pages["/moved"] = ("redirect", f"{server.address}/file")
    (tmp_path / "part").write_bytes(DATA[:1000])
    fetch((f"{server.address}/moved",), official(DATA), tmp_path / "part")
    assert server.asked == [("/moved", "bytes=1000-"), ("/file", "bytes=1000-")]
    assert (tmp_path / "part").read_bytes() == DATA


def test_an_encrypted_address_never_leads_to_an_unencrypted_one():
    handler, request = module._StayEncrypted(), urllib.request.Request("https://example.org/file")
    with pytest.raises(RuntimeError, match="leads to the unencrypted address http://example.org"):
        handler.redirect_request(request, None, 302, "Found", {}, "http://example.org/file")
    other = handler.redirect_request(request, None, 302, "Found", {}, "https://example.org/other")
    assert other.full_url == "https://example.org/other"


@pytest.mark.parametrize("content", [b"<html>log in first</html>", DATA + b"more", DATA[:-7]])
def test_a_file_of_another_size_is_refused_before_it_is_fetched(tmp_path, server, content):
    server.pages["/file"] = ("file", content)
    with pytest.raises(RuntimeError, match=f"Expected transform.pkl of {len(DATA)} bytes, got {len(content)} bytes"):
        fetch((f"{server.address}/file",), official(DATA), tmp_path / "part")
    assert not (tmp_path / "part").exists()


def test_an_endless_answer_is_cut_short(tmp_path, server):
    server.pages["/file"] = ("no length", DATA * 3)
    with pytest.raises(RuntimeError, match=f"got more than {len(DATA)} bytes"):
        fetch((f"{server.address}/file",), official(DATA), tmp_path / "part")
    assert (tmp_path / "part").stat().st_size <= len(DATA)


def test_other_bytes_of_the_same_size_are_thrown_away(row, models, server):
    server.pages["/file"] = ("file", DATA[:-1] + b"x")
    with pytest.raises(RuntimeError, match=f"with SHA-256 {row.download.file.sha256}, got .*nothing else was changed"):
        download(row, models, say=lambda text: None)
    assert files(models) == {}


# ---- disks


def test_a_disk_without_room_is_told_before_anything_is_fetched(row, models, server, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(OSError, match="(?s)Expected 10 MB of free space in .*fantasyid, got 0 MB.*--models"):
        download(row, models, say=lambda text: None)
    assert not server.asked and files(models) == {}


def test_a_disk_that_fills_up_is_explained_and_what_came_is_kept(row, models, monkeypatch):
    def full(done, total):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="(?s)fantasyid cannot be written: the disk is full.*goes on where it stopped"):
        download(row, models, progress=full, say=lambda text: None)
    (name,) = files(models)
    assert name == "fantasyid/transform.pkl.part"


def test_a_folder_that_cannot_be_made_or_is_in_the_way_is_explained(row, models):
    (models / "fantasyid").write_bytes(b"a file")
    with pytest.raises(OSError, match="cannot be written: "):
        download(row, models, say=lambda text: None)
    (models / "fantasyid").unlink()
    (models / "fantasyid" / "transform.pkl").mkdir(parents=True)
    with pytest.raises(OSError, match="Expected a file or nothing at .*got a folder"):
        download(row, models, say=lambda text: None)
    with pytest.raises(ValueError, match="Expected ComfyUI's models folder, got .*absent"):
        download(row, models / "absent")


def test_what_was_there_comes_back_when_the_last_step_fails(tmp_path, monkeypatch):
    (tmp_path / "part").write_bytes(b"new")
    (tmp_path / "target").write_bytes(b"old")
    rename = Path.rename

    def fail(path, target):
        if path.name == "part":
            raise PermissionError(13, "Permission denied")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(PermissionError):
        module.put_in_place(tmp_path / "part", tmp_path / "target", print)
    assert files(tmp_path) == {"part": b"new", "target": b"old"}


# ---- archives


ONE, TWO = b"\x08\x06\x12one" + bytes(500), b"\x08\x06\x12two" + bytes(900)


@pytest.fixture
def insightface(server, monkeypatch):
    """Both rows of InsightFace, small, in one archive on the server; tuple of rows."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("antelopev2/1k3d68.onnx", b"not wanted")
        packed.writestr("antelopev2/scrfd_10g_bnkps.onnx", ONE)
        packed.writestr("antelopev2/glintr100.onnx", TWO)
    server.pages["/antelopev2.zip"] = ("file", archive.getvalue())
    whole = official(archive.getvalue(), "antelopev2.zip")
    rows = []
    for key, data in (("insightface_detector", ONE), ("arcface", TWO)):
        row = model_file(key)
        file = official(data, row.official[0].name)
        wanted = Download((f"{server.address}/antelopev2.zip",), whole, file.name)
        rows.append(replace(row, official=(file,), download=wanted))
    others = tuple(row for row in MODEL_FILES if row.key not in ("insightface_detector", "arcface"))
    monkeypatch.setattr(module, "MODEL_FILES", others + tuple(rows))
    return tuple(rows)


def test_one_archive_brings_the_files_of_both_rows_and_goes(insightface, models, server):
    folder = "insightface/models/antelopev2"
    path = download(insightface[0], models, accept_licence=True, say=lambda text: None)
    assert path == models / folder / "scrfd_10g_bnkps.onnx"
    assert files(models) == {f"{folder}/scrfd_10g_bnkps.onnx": ONE, f"{folder}/glintr100.onnx": TWO}
    assert len(server.asked) == 1
    download(insightface[1], models, accept_licence=True, say=lambda text: None)
    assert len(server.asked) == 1


def test_the_archive_does_not_touch_a_file_that_was_not_asked_for(insightface, models):
    there = models / "insightface" / "models" / "antelopev2" / "glintr100.onnx"
    there.parent.mkdir(parents=True)
    there.write_bytes(b"the user's own")
    download(insightface[0], models, accept_licence=True, say=lambda text: None)
    assert there.read_bytes() == b"the user's own"


@pytest.mark.parametrize("change", ["missing", "other size", "other bytes"])
def test_an_archive_with_other_content_brings_nothing(insightface, models, change):
    changes = {
        "missing": official(ONE, "absent.onnx"),
        "other size": official(ONE + b"x", "scrfd_10g_bnkps.onnx"),
        "other bytes": replace(official(ONE, "scrfd_10g_bnkps.onnx"), sha256="0" * 64),
    }
    row = replace(insightface[0], official=(changes[change],))
    module.MODEL_FILES = (row,)
    with pytest.raises(RuntimeError, match="Expected (absent|scrfd_10g_bnkps).onnx of .*got"):
        download(row, models, accept_licence=True, say=lambda text: None)
    assert not any(name.endswith(".onnx") for name in files(models))
