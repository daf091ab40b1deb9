"""Work that nobody can end: it runs aside while the listener is asked, and a cancel does not wait for it."""

from __future__ import annotations

import threading

import pytest

from fantasyid_core.running.progress import ask, heard, patiently


class Cancelled(BaseException):
    """As the host's own: no Exception."""


def nothing(*_) -> None:
    pass


def test_without_a_listener_it_runs_where_it_is_called():
    assert patiently(threading.get_ident) == threading.get_ident()


def test_what_it_gives_and_what_it_raises_come_back():
    def fails():
        raise ValueError("Expected a picture, got none.")

    with heard(nothing, nothing):
        assert patiently(threading.get_ident) != threading.get_ident()
        with pytest.raises(ValueError, match="Expected a picture"):
            patiently(fails)


def test_the_listener_is_still_there_for_its_parts():
    asked_by = []
    with heard(lambda: asked_by.append(threading.get_ident()), nothing):
        worker = patiently(lambda: (ask(), threading.get_ident())[1])
    assert worker in asked_by


def test_a_cancel_ends_the_waiting_and_the_work_goes_on_unheeded():
    may_end, ended, asked = threading.Event(), threading.Event(), []

    def work():
        may_end.wait(60)
        ended.set()

    def cancel():
        asked.append(1)
        if len(asked) == 3:
            raise Cancelled

    with pytest.raises(Cancelled), heard(cancel, nothing):
        patiently(work)
    assert not ended.is_set()
    may_end.set()
    assert ended.wait(60)
