"""Fixtures of the tests that look at the nodes without a host."""

from __future__ import annotations

import asyncio
import sys

import pytest
from stub_host import NAME, imported_pack


@pytest.fixture
def pack(tmp_path):
    """The pack beside stubs of the host, whose folders lie in `tmp_path`."""
    with imported_pack(tmp_path) as module:
        asyncio.run(module.extension.on_load())
        yield module


@pytest.fixture
def folders(pack):
    """The pack's module nodes/folders.py."""
    return sys.modules[NAME + ".nodes.folders"]


@pytest.fixture
def node_classes(pack) -> list[type]:
    return asyncio.run(pack.extension.get_node_list())
