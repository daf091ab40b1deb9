"""A real browser without a screen, and a page on this machine for it."""

from __future__ import annotations

import importlib
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from kept import PICTURES

ROOT = Path(__file__).resolve().parents[2]
NAMES = "chromium", "chromium-browser", "google-chrome"
ARGUMENTS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --use-gl=angle --use-angle=swiftshader --enable-unsafe-swiftshader"
).split()
KINDS = {".js": "text/javascript", ".mjs": "text/javascript", ".html": "text/html", ".bin": "application/octet-stream"}


@contextmanager
def chromium() -> Iterator:
    """Playwright's browser, driving the distribution's Chromium; skips loudly where one of them is absent."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("Chromium is absent, the face editor was not tested in a browser: apt-get install chromium")
    try:
        playwright = importlib.import_module("playwright.sync_api")
    except ImportError:
        pytest.skip("Playwright is absent, the face editor was not tested in a browser: pip install playwright")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, headless=True, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def page_server(files: dict[str, bytes]) -> Iterator[str]:
    """The address of a server for `files` (path -> content) and the repository's web folder."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            path = self.path.partition("?")[0]
            content = files.get(path)
            if content is None and path.startswith("/web/") and ".." not in path and (ROOT / path[1:]).is_file():
                content = (ROOT / path[1:]).read_bytes()
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Type", KINDS.get(Path(path).suffix, "text/html"))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def keep_screenshot(page, name: str) -> Path:
    """Keeps what the page looks like, for people."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    path = PICTURES / f"{name}.png"
    page.screenshot(path=path)
    return path
