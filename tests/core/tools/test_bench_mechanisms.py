"""The bench of mechanisms on a very small transformer: every row is there, and the exact one is exact."""

from __future__ import annotations

import gc
import json
import sys

import pytest
import torch
from waiting import wait_for

from fantasyid_core.__main__ import main
from fantasyid_core.config import AdapterConfig, TransformerConfig
from fantasyid_core.tools.bench_likeness import measure_likeness
from fantasyid_core.tools.bench_mechanisms import (
    EIGHT_BITS,
    PLAIN,
    _likeness_lines,
    mechanisms,
    run_mechanism_bench,
    tables,
)
from fantasyid_core.tools.timing import Peak


@pytest.fixture(scope="module")
def report():
    sizes = TransformerConfig.tiny(num_layers=3, max_text_seq_length=8)
    config = AdapterConfig.tiny(injected_layers=3, dit_width=sizes.width)
    return run_mechanism_bench(1, "cpu", sizes, config, people=0)


def test_every_mechanism_has_its_row(report):
    rows = report["mechanisms"]
    caches = ["first-block", "faster", "pyramid", "taylor", "mag"]
    attention = ["attention native-math", "attention native-flash"]  # what works on a CPU
    assert list(rows) == [PLAIN, "exact", *caches, EIGHT_BITS, *attention]
    assert all(rows[name]["difference"] < 1e-5 for name in attention)
    assert rows["exact"]["difference"] == 0 and rows["exact"]["ratio"] == 1
    assert all(row["seconds per step"] > 0 for row in rows.values())
    assert rows[EIGHT_BITS]["weights"] < 0.5 * rows["exact"]["weights"] == 0.5 * rows[PLAIN]["weights"]
    assert rows[PLAIN]["difference"] > 0 and rows[EIGHT_BITS]["difference"] > 0
    assert report["machine"]["diffusers"][0].isdigit() and report["settings"]["layers"] == 3


def test_likeness_is_measured_on_a_trained_model():
    """As many steps as it takes for a cache to act; without the identity the video shows anybody."""
    measured = lambda ratios: {  # noqa: E731
        name: options
        for name, options in mechanisms(ratios, torch.device("cpu")).items()
        if name in (PLAIN, "exact", "first-block", EIGHT_BITS)
    }
    report = measure_likeness(measured, "exact", people=2, steps=5)
    rows = report["rows"]
    assert rows["exact"]["share of exact"] == 1 and rows["exact"]["difference"] == 0
    assert rows["exact"]["likeness"] > 0.3 > 0.15 > rows[PLAIN]["likeness"]
    assert 0.9 < rows[EIGHT_BITS]["share of exact"] < 1.1 and 0 < rows[EIGHT_BITS]["difference"] < 0.3
    assert rows["first-block"]["share of exact"] > 0.8
    text = "\n".join(_likeness_lines(report))
    assert "FantasyID-Tiny, 2 people, 5 steps" in text and f"| {PLAIN} |" in text


def test_without_what_draws_people_the_report_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.setattr("fantasyid_core.tools.bench_likeness.held_out_people", lambda count: render_compiled())
    report = measure_likeness(lambda ratios: {}, "exact")
    assert "needs the package numba" in report["skipped"]
    assert _likeness_lines(report)[-1].startswith("Likeness was not measured: ")


def render_compiled():
    from fantasyid_core.people.compiling import numba

    return numba()


def test_a_peak_of_memory_is_seen():
    gc.collect()  # what other tests left must not be let go in the body
    with Peak(torch.device("cpu")) as peak:
        held = torch.ones(60, 2**20)  # 240 MiB
        wait_for(lambda: peak.bytes > 200 * 2**20)
        del held


def test_the_report_is_a_table_and_plain_json(report):
    text = "\n".join(tables(report))
    assert "| mechanism |" in text and "| 8 bits |" in text and "diffusers" in text
    assert json.loads(json.dumps(report))["mechanisms"].keys() == report["mechanisms"].keys()


def test_settings_that_make_no_sense_are_refused(capsys):
    with pytest.raises(ValueError, match="at least one run, got 0"):
        run_mechanism_bench(0)
    assert main(["bench", "--mechanisms", "--full"]) == 2
    assert "leave out --plot and --full" in capsys.readouterr().err
