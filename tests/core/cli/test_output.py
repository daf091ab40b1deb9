"""What is printed reaches terminals of every code page, and a pipe that nobody reads ends nothing."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

from fantasyid_core.cli.output import LastingStream, lasting_output


@pytest.mark.parametrize("encoding, shown", [("ascii", "??.mp4"), ("cp1252", "??.mp4"), ("utf-8", "視頻.mp4")])
def test_what_cannot_be_printed_is_replaced(encoding, shown):
    raw = io.BytesIO()
    stream = LastingStream(io.TextIOWrapper(raw, encoding=encoding, write_through=True))
    assert stream.write("視頻.mp4") == 6
    assert raw.getvalue().decode(encoding) == shown and stream.encoding == encoding


def test_streams_that_are_closed_or_absent_take_everything():
    closed = io.StringIO()
    closed.close()
    for stream in (LastingStream(closed), LastingStream(None)):
        assert stream.write("x") == 1 and not stream.isatty()
        stream.flush()


@pytest.mark.parametrize("which", ["stdout", "stderr"])
def test_a_pipe_that_nobody_reads_ends_nothing(which):
    script = f"""
import sys
from fantasyid_core.cli.output import lasting_output
with lasting_output():
    for _ in range(20000):
        print("a line that fills the pipe", file=sys.{which}, flush=True)
open({"sys.argv[1]"}, "w").close()
"""
    from fantasyid_core import __file__ as core

    folder = core.rsplit("fantasyid_core", 1)[0]
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as place:
        mark = Path(place) / "done"
        run = subprocess.Popen(
            [sys.executable, "-c", script, str(mark)], cwd=folder, **{which: subprocess.PIPE}, text=True
        )
        getattr(run, which).readline()
        getattr(run, which).close()
        assert run.wait(60) == 0 and mark.exists()


def test_the_streams_come_back(capsys):
    before = sys.stdout, sys.stderr
    with lasting_output():
        print("é")
    assert (sys.stdout, sys.stderr) == before and capsys.readouterr().out == "é\n"
