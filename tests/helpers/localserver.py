"""A web server on this machine that misbehaves as told, and what the tests of downloading share."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from fantasyid_core.modelfiles import Download, ModelFile, OfficialFile, model_file

DATA = b"\x80\x04" + b"down_transform" + bytes(range(256)) * 2000  # half a megabyte that passes for a pickle


def official(data: bytes, name: str = "transform.pkl") -> OfficialFile:
    """The entry in the table of a file with this content."""
    return OfficialFile(name, len(data), hashlib.sha256(data).hexdigest())


def topology_row(server) -> ModelFile:
    """The row of transform.pkl, coming from the server on this machine."""
    file = official(DATA)
    return replace(model_file("topology"), official=(file,), download=Download((f"{server.address}/file",), file))


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its content."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@contextmanager
def local_server() -> Iterator[ThreadingHTTPServer]:
    """server.pages: path -> (how, content); server.asked: (path, Range header) of every request."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.pages, server.asked = {"/file": ("file", DATA)}, []
    server.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Handler(BaseHTTPRequestHandler):
    """Serves what `server.pages` says, and notes every request."""

    def do_GET(self):
        server, requested = self.server, self.headers.get("Range")
        server.asked.append((self.path, requested))
        kind, data = server.pages.get(self.path, ("404", b"gone"))
        if kind.isdigit():
            return self.answer(int(kind), data)
        if kind == "redirect":
            return self.answer(302, b"", Location=data)
        if kind == "busy twice":
            server.pages[self.path] = ("busy once", data)
            return self.answer(503, b"")
        if kind == "busy once":
            server.pages[self.path] = ("file", data)
            return self.answer(429, b"")
        start = int(requested[6:].rstrip("-")) if requested and kind != "no ranges" else 0
        if requested and start >= len(data):
            return self.answer(416, b"")
        if kind == "wrong range":
            return self.answer(206, data, **{"Content-Range": f"bytes 0-{len(data) - 1}/{len(data)}"})
        extra = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
        limit = {"cut": 100_000, "dead": 0}.get(kind)
        self.answer(206 if start else 200, data[start:], limit, chunked=kind == "no length", **extra)

    def answer(self, code, data, limit=None, chunked=False, **headers):
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        if not chunked:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[:limit])

    def log_message(self, *arguments):
        pass
