"""Who is told what a run has to say."""

from __future__ import annotations

import pytest
from tiny_video import node


def test_a_message_goes_to_the_page_that_queued_the_run(host, pack, monkeypatch):
    """The harness queues as the client "test"; a message to everybody would show on another person's nodes, too."""
    from server import PromptServer

    pytest.importorskip("numba", reason="drawing people needs numba: pip install numba")
    told = []
    monkeypatch.setattr(PromptServer.instance, "send_progress_text", lambda *message: told.append(message))
    host.run({"p": node("FantasyID_SamplePerson", seed=1, picture=0)})
    assert told[-1] == ("procedural person 1", "p", "test")
