"""Text on a node."""

from __future__ import annotations

import logging


def show_text(text: str, node_id: str) -> None:
    """Shows `text` on the node with this id in the page that queued the run: another page may have another node of
    this id. Of a run that no page queued, every page is told. Nothing happens without a server."""
    from server import PromptServer

    server = getattr(PromptServer, "instance", None)
    if server is not None:
        server.send_progress_text(text, node_id, server.client_id)


def say_on_running_node(text: str) -> None:
    """Shows `text` on the node that the host runs right now, whoever made that node, and writes it to the log."""
    from comfy_execution.utils import get_executing_context

    logging.warning("FantasyID: %s", text)
    context = get_executing_context()
    if context is not None:
        show_text(text, context.node_id)
