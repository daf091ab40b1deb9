"""Serves the face editor in the browser: heads in the host's temp folder, and a template head over a route.

The browser reads heads from the host's own route /view, which serves files of the host's folders only.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import folder_paths

from . import folders

if TYPE_CHECKING:
    from collections.abc import Sequence

TEMPLATE = "/fantasyid/editor/template"
SUBFOLDER = "fantasyid"


def put_heads(heads: Sequence[bytes]) -> list[dict]:
    """Writes packed heads into the temp folder and returns what the browser is told; equal heads share a file."""
    from ..fantasyid_core.files.writing import write_aside

    folder = Path(folder_paths.get_temp_directory()) / SUBFOLDER
    folder.mkdir(parents=True, exist_ok=True)
    told = []
    for plausible, content in enumerate(heads):
        path = folder / f"head-{hashlib.sha256(content).hexdigest()[:24]}.bin"
        if not path.is_file():
            with write_aside(path) as aside:
                aside.write_bytes(content)
        told.append({"filename": path.name, "subfolder": SUBFOLDER, "type": "temp", "plausible": bool(plausible)})
    return told


def add_routes() -> None:
    """GET /fantasyid/editor/template: the head that is shown before the first run; it takes no parameters."""
    module = sys.modules.get("server")  # the host's, when it runs as a server
    server = getattr(getattr(module, "PromptServer", None), "instance", None)
    if server is None:
        return
    web = import_module("aiohttp.web")  # comes with the host

    @server.routes.get(TEMPLATE)
    async def template(_request):
        try:
            content = await asyncio.to_thread(_template)
        except ValueError as error:  # a damaged topology file
            return web.Response(status=500, text=str(error))
        return web.Response(body=content, headers={"Cache-Control": "no-cache"})


def _template() -> bytes:
    from ..fantasyid_core.shape.edit.editor import pack_template_head

    return pack_template_head(folders.topology_folders())
