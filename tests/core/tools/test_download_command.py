"""Downloading from Hugging Face (a stand-in for huggingface_hub), what is refused, and the command."""

from __future__ import annotations

import ast
import errno
import inspect
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from localserver import DATA, files, local_server, official, topology_row
from safetensors.torch import save

from fantasyid_core.__main__ import main
from fantasyid_core.modelfiles import MODEL_FILES, model_file
from fantasyid_core.tools import download as module
from fantasyid_core.tools.download import download, find_row, refusal

ROOT = Path(__file__).resolve().parents[3]


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


# ---- Hugging Face


def safetensors_file(name: str) -> bytes:
    return save({name: torch.zeros(2)})


@pytest.fixture
def hub(monkeypatch):
    """huggingface_hub with functions that write what `hub.content` says; `hub.calls` notes repository and path."""
    huggingface_hub = pytest.importorskip("huggingface_hub")
    # Signatures of the installed version: a call that it would not take must fail here, too.
    signatures = {
        name: inspect.signature(getattr(huggingface_hub, name)) for name in ("hf_hub_download", "snapshot_download")
    }

    class Hub:
        content, calls, error = {}, [], None

    hub = Hub()
    hub.calls = []

    def write(local_dir, names):
        for name in names:
            path = Path(local_dir, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(hub.content[name])
            note = Path(local_dir, ".cache", "huggingface", "download", f"{name}.metadata")
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_bytes(b"")
        if hub.error:
            raise hub.error

    def hf_hub_download(*arguments, **options):
        bound = signatures["hf_hub_download"].bind(*arguments, **options).arguments
        hub.calls.append((bound["repo_id"], bound["filename"]))
        write(bound["local_dir"], [bound["filename"]])
        return str(Path(bound["local_dir"], bound["filename"]))

    def snapshot_download(*arguments, **options):
        bound = signatures["snapshot_download"].bind(*arguments, **options).arguments
        hub.calls.append((bound["repo_id"], None))
        write(bound["local_dir"], hub.content)
        return str(bound["local_dir"])

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hf_hub_download)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return hub


@pytest.fixture
def vae(hub):
    data = safetensors_file("decoder.a")
    hub.content = {"vae/diffusion_pytorch_model.safetensors": data}
    row = model_file("vae")
    return replace(row, download=replace(row.download, file=replace(row.download.file, **vars(official(data, "x")))))


def test_a_file_of_the_hub_gets_its_name_and_leaves_nothing_beside_it(vae, hub, models):
    path = download(vae, models, say=lambda text: None)
    (data,) = hub.content.values()
    assert path == models / "vae" / "cogvideox_vae.safetensors" and files(models) == {
        "vae/cogvideox_vae.safetensors": data
    }
    assert hub.calls == [("THUDM/CogVideoX-5b-I2V", "vae/diffusion_pytorch_model.safetensors")]
    download(vae, models, say=lambda text: None)
    assert len(hub.calls) == 1


def test_a_wrong_file_of_the_hub_is_thrown_away(vae, hub, models):
    hub.content = {name: b"x" + data[1:] for name, data in hub.content.items()}
    with pytest.raises(RuntimeError, match="Expected x of .*got .*huggingface.co/THUDM"):
        download(vae, models, say=lambda text: None)
    assert files(models) == {}


def test_a_whole_repository_becomes_a_release_folder(hub, models):
    weights = safetensors_file("face_abstractor.proj_out")
    hub.content = {"transformer/diffusion_pytorch_model.safetensors": weights, "README.md": b"about"}
    path = download(model_file("weights"), models, say=lambda text: None)
    assert path == models / "fantasyid" / "FantasyID" and hub.calls == [("acvlab/FantasyID", None)]
    assert files(path) == hub.content and [folder.name for folder in path.parent.iterdir()] == ["FantasyID"]
    said = []
    found = download(model_file("weights"), models, say=said.append)
    assert "already there" in said[0] and found.read_bytes() == weights and len(hub.calls) == 1


def test_a_repository_of_an_unknown_layout_is_kept_and_told(hub, models):
    hub.content = {"model.safetensors": b"x"}
    said = []
    path = download(model_file("weights"), models, say=said.append)
    assert files(path) == hub.content and "came whole, but does not have the layout" in said[-1]


def hub_errors():
    errors = pytest.importorskip("huggingface_hub.errors")
    answer = SimpleNamespace(headers={}, status_code=404, request=None)

    def make(name):
        return getattr(errors, name)("it", response=answer)

    return {
        "GatedRepoError": (make("GatedRepoError"), "log in with `hf auth login`"),
        "RepositoryNotFoundError": (make("RepositoryNotFoundError"), "is not at .* any more.*modelscope"),
        "EntryNotFoundError": (errors.EntryNotFoundError("it"), "is not at .* any more"),
        "LocalEntryNotFoundError": (errors.LocalEntryNotFoundError("it"), "cannot be reached"),
        "OfflineModeIsEnabled": (errors.OfflineModeIsEnabled("it"), "HF_HUB_OFFLINE"),
        "ConnectionError": (ConnectionError("reset"), "cannot be reached.*goes on where it stopped"),
        "full": (OSError(errno.ENOSPC, "No space left"), "disk is full.*goes on where it stopped"),
        "other": (KeyError("surprise"), "could not be fetched.*surprise"),
    }


@pytest.mark.parametrize(
    "name",
    ["GatedRepoError", "RepositoryNotFoundError", "EntryNotFoundError", "ConnectionError"]
    + ["LocalEntryNotFoundError", "OfflineModeIsEnabled", "full", "other"],
)
def test_failures_of_the_hub_are_explained_and_what_came_is_kept(hub, models, name):
    hub.error, message = hub_errors()[name]
    hub.content = {"transformer/model.safetensors": b"half"}
    with pytest.raises((RuntimeError, OSError), match=f"(?s){message}"):
        download(model_file("weights"), models, say=lambda text: None)
    assert not (models / "fantasyid" / "FantasyID").exists()
    assert "fantasyid/.FantasyID.download/transformer/model.safetensors" in files(models)


# ---- what is refused, and the command


def test_every_name_that_a_user_may_know_is_understood():
    assert {find_row(name).key for name in ("topology", "transform.pkl", "TRANSFORM.PKL")} == {"topology"}
    assert find_row("w600k_r50.onnx").key == "arcface" and find_row("fantasyid weights").key == "weights"
    assert all(find_row(row.key) == row and find_row(row.name) == row for row in MODEL_FILES)
    with pytest.raises(ValueError, match="Expected one of weights, .*, or a file name, got 'nonsense'"):
        find_row("nonsense")


@pytest.mark.parametrize("name", ["deca", "flame", "generic_model.pkl"])
def test_what_needs_a_registration_is_refused_saying_where(models, capsys, name):
    row = find_row(name)
    assert main(["download", name, "--models", str(models), "--accept-licence"]) == 2
    said = capsys.readouterr().err
    assert f"Register at {row.sources[0]}" in said and f"models/{row.belongs}" in said and files(models) == {}
    with pytest.raises(RuntimeError, match="may not be downloaded"):
        download(row, models, accept_licence=True)


@pytest.mark.parametrize("key", [row.key for row in MODEL_FILES if row.must_accept])
def test_restricted_files_need_the_licence_to_be_accepted_aloud(models, capsys, key):
    assert main(["download", key, "--models", str(models)]) == 2
    said = capsys.readouterr().err
    assert "non-commercial" in said and f"download {key} --accept-licence" in said and files(models) == {}
    assert refusal(model_file(key), accept_licence=True) is None


def test_without_a_name_all_are_listed_and_nothing_is_fetched(server, capsys):
    assert main(["download"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for row in MODEL_FILES:
        assert any(line.split()[:1] == [row.key] for line in lines) and any(row.licence in line for line in lines)
    assert not server.asked and max(map(len, lines)) <= 130


def test_the_command_fetches_into_the_given_folder(row, models, capsys, monkeypatch):
    monkeypatch.setattr(module, "MODEL_FILES", (row,))
    assert main(["download", "transform.pkl", "--models", str(models)]) == 0
    assert files(models) == {"fantasyid/transform.pkl": DATA} and "done: " in capsys.readouterr().out


def test_the_command_needs_to_know_where_to(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("fantasyid_core.modelfiles.default_folders", lambda: [])
    assert main(["download", "topology"]) == 2
    assert "--models DIR" in capsys.readouterr().err
    assert main(["download", "topology", "--models", str(tmp_path / "absent")]) == 2
    assert "which is no folder" in capsys.readouterr().err


def test_an_interrupt_says_that_it_can_go_on(row, models, capsys, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "MODEL_FILES", (row,))
    monkeypatch.setattr(module, "fetch", interrupt)
    assert main(["download", "topology", "--models", str(models)]) == 130
    assert "goes on where it stopped" in capsys.readouterr().out and files(models) == {}


# ---- nothing else downloads


FETCHING = {
    "urlopen",
    "urlretrieve",
    "build_opener",
    "hf_hub_download",
    "snapshot_download",
    "load_state_dict_from_url",
    "download_url_to_file",
    "load_file_from_url",
    "cached_download",
    "HTTPSConnection",
}
AT_HOME = {"fantasyid_core/experiments/full_size_comfyui.py"}  # asks a server that it has started on this machine


def test_no_other_file_downloads():
    for path in sorted((ROOT / "fantasyid_core").rglob("*.py")) + sorted((ROOT / "nodes").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
        name = path.relative_to(ROOT).as_posix()
        allowed = name in {"fantasyid_core/tools/download.py", *AT_HOME}
        if name in AT_HOME:
            assert set(re.findall(r"https?://[^:{/]+", path.read_text(encoding="utf-8"))) == {"http://127.0.0.1"}
        assert bool(names & FETCHING) == allowed, f"{path} uses {names & FETCHING}"
        imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        assert allowed or not any(name.startswith(("urllib.request", "requests", "http.client")) for name in imported)
