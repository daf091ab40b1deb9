"""`download samples`: the official repository's photos, 3D faces and mesh, from a server on this machine."""

from __future__ import annotations

import pytest
from localserver import files, local_server, official

from fantasyid_core.__main__ import main
from fantasyid_core.modelfiles import sha256
from fantasyid_core.modelfiles.table import FANTASYID_COMMIT
from fantasyid_core.tools import download, samples
from fantasyid_core.tools.samples import SAMPLES, download_samples

CONTENT = {"assets": {"anne.jpg": b"a photo", "anne.ply": b"a face"}, "data": {"landmark_embedding.npy": b"marks"}}
MADE = {name: data for group in CONTENT.values() for name, data in group.items()}


@pytest.fixture
def server(monkeypatch):
    """The official repository, with small files, where it would be asked for."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "WAITS", (0, 0, 0, 0))
    table = {place: tuple(official(data, name) for name, data in group.items()) for place, group in CONTENT.items()}
    monkeypatch.setattr(samples, "SAMPLES", table)
    with local_server() as running:
        running.pages = {
            f"/{FANTASYID_COMMIT}/{place}/{name}": ("file", data)
            for place, group in CONTENT.items()
            for name, data in group.items()
        }
        monkeypatch.setattr(download_samples, "__defaults__", (*download_samples.__defaults__[:2], running.address))
        yield running


def test_the_command_brings_every_file_once(server, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["download", "samples"]) == 0
    assert files(tmp_path / "output" / "samples") == MADE
    assert "Apache-2.0" in capsys.readouterr().out
    server.asked.clear()
    assert main(["download", "samples"]) == 0 and not server.asked


def test_another_folder_may_be_named(server, tmp_path):
    assert main(["download", "samples", "--out", str(tmp_path / "there")]) == 0
    assert files(tmp_path / "there") == MADE


def test_a_damaged_file_is_replaced_and_kept_under_another_name(server, tmp_path):
    (tmp_path / "anne.ply").write_bytes(b"mine")
    (tmp_path / "anne.jpg").write_bytes(MADE["anne.jpg"])
    download_samples(tmp_path, say=lambda text: None)
    assert files(tmp_path) == {**MADE, "anne.ply.bad": b"mine"}
    assert [path.rsplit("/")[-1] for path, _ in server.asked] == ["anne.ply", "landmark_embedding.npy"]


def test_a_changed_file_is_refused_and_what_came_before_stays(server, tmp_path, capsys):
    server.pages[f"/{FANTASYID_COMMIT}/assets/anne.ply"] = ("file", b"a fake")
    assert main(["download", "samples", "--out", str(tmp_path)]) == 2
    assert "SHA-256" in capsys.readouterr().err and files(tmp_path) == {"anne.jpg": MADE["anne.jpg"]}


def test_a_file_out_of_reach_is_explained(server, tmp_path, capsys):
    server.pages.clear()
    assert main(["download", "samples", "--out", str(tmp_path)]) == 2
    assert "anne.jpg could not be fetched" in capsys.readouterr().err


def test_out_is_for_samples_only(capsys):
    assert main(["download", "topology", "--out", "there"]) == 2
    assert "--models DIR" in capsys.readouterr().err


def test_the_samples_are_the_recorded_files(licensed):
    for file in (file for group in SAMPLES.values() for file in group):
        path = licensed(file.name)
        assert path.stat().st_size == file.size and sha256(path) == file.sha256


def test_progress_ends_at_the_sum_of_all_files(server, tmp_path):
    seen = []
    download_samples(tmp_path, lambda done, total: seen.append((done, total)), say=lambda text: None)
    assert seen[-1][0] == seen[-1][1] == sum(map(len, MADE.values())) and seen == sorted(seen)
