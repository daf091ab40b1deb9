"""Downloads the model file that you name, or the official samples. Without a name it lists what there is.

Never downloads without being asked. Exit code 0: the file is there. Exit code 2: it is not, because its licence was not
accepted, the network is out of reach, or what came is not the right file.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help='key or file name, or "samples"; without it: a list')
    parser.add_argument("--models", metavar="DIR", help="ComfyUI's models folder, if it is not found by itself")
    parser.add_argument("--out", metavar="DIR", help="where samples go (output/samples)")
    parser.add_argument(
        "--accept-licence",
        "--accept-license",
        action="store_true",
        help="you have read and accept the licence of a file whose use is restricted (non-commercial)",
    )


def run(arguments: argparse.Namespace) -> int:
    from ..tools.samples import DEFAULT_FOLDER, download_samples

    if arguments.name is None:
        print("\n".join(listing()))
        return 0
    if arguments.out and arguments.name != "samples":
        raise ValueError("--out is for samples; for a model file, name ComfyUI's models folder with --models DIR.")
    try:
        with Bar() as bar:
            if arguments.name == "samples":
                download_samples(Path(arguments.out or DEFAULT_FOLDER).expanduser(), bar)
            else:
                _download_model_file(arguments, bar)
    except KeyboardInterrupt:
        print("\ninterrupted: run the same command again, it goes on where it stopped.")
        return 130
    return 0


def _download_model_file(arguments: argparse.Namespace, bar: Bar) -> None:
    from ..tools.download import download, find_row, refusal

    row = find_row(arguments.name)
    if reason := refusal(row, arguments.accept_licence):
        raise RuntimeError(reason)
    download(row, models_folder(arguments.models), arguments.accept_licence, bar)


def models_folder(given: str | None) -> Path:
    """The folder to download into: the given one, else the first of this machine's; ValueError without any."""
    from ..modelfiles import default_folders

    folders = [Path(given).expanduser()] if given else default_folders()
    if not folders:
        raise ValueError(
            "No ComfyUI was found (this folder is not in its custom_nodes; see also COMFYUI_PATH). Say where the "
            "models folder is: --models DIR, or the environment variable FANTASYID_MODELS."
        )
    return folders[0]


def listing() -> list[str]:
    """Lines on every file of the table: key, size, name and licence, and which ones have to be fetched by hand."""
    from ..modelfiles import MODEL_FILES
    from ..tools.samples import LICENCE

    lines = ["python -m fantasyid_core download NAME fetches one of these (key or file name):", ""]
    for row in (row for row in MODEL_FILES if row.download):
        size = f"{row.download.file.size / 1e6:,.2f} MB" if row.download.file else "many GB"
        lines += [f"  {row.key:<22}{size:>12}  {row.name}", f"{'':38}{row.licence}"]
        if row.must_accept:
            lines.append(f"{'':38}needs --accept-licence")
    lines += [f"  {'samples':<22}{'1.59 MB':>12}  photos, their 3D faces and FLAME's mesh, to try out and for tests"]
    lines += [f"{'':38}{LICENCE}", ""]
    lines += ["These you have to fetch yourself, after registering there:", ""]
    for row in (row for row in MODEL_FILES if not row.download):
        lines += [f"  {row.key:<36}{row.name}", f"{'':38}{row.sources[0]}", f"{'':38}{row.licence}"]
    return lines


class Bar:
    """A progress bar that appears with the first byte."""

    def __init__(self):
        self.bar = None

    def __call__(self, done: int, total: int) -> None:
        from tqdm import tqdm

        if self.bar is None:
            self.bar = tqdm(total=total, unit="B", unit_scale=True, desc="download")
        self.bar.update(done - self.bar.n)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_) -> None:
        if self.bar is not None:
            self.bar.close()
