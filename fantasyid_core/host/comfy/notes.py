"""Text on a node."""

from __future__ import annotations


def show_text(text: str, node_id: str) -> None:
    """Shows `text` on the node with this id in every open page; nothing happens without a server."""
    from server import PromptServer

    server = getattr(PromptServer, "instance", None)
    if server is not None:
        server.send_progress_text(text, node_id)
