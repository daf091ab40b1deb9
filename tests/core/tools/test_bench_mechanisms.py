"""The bench of mechanisms on a very small transformer: every row is there, and the exact one is exact."""

from __future__ import annotations

import json

import pytest

from fantasyid_core.__main__ import main
from fantasyid_core.config import AdapterConfig, TransformerConfig
from fantasyid_core.tools.bench_mechanisms import EIGHT_BITS, PLAIN, run_mechanism_bench, tables


@pytest.fixture(scope="module")
def report():
    sizes = TransformerConfig.tiny(num_layers=3, max_text_seq_length=8)
    config = AdapterConfig.tiny(injected_layers=3, dit_width=sizes.width)
    return run_mechanism_bench(1, "cpu", sizes, config)


def test_every_mechanism_has_its_row(report):
    rows = report["mechanisms"]
    assert list(rows) == [PLAIN, "exact", "first-block", "faster", "pyramid", "taylor", "mag", EIGHT_BITS]
    assert rows["exact"]["difference"] == 0 and rows["exact"]["ratio"] == 1
    assert all(row["seconds per step"] > 0 for row in rows.values())
    assert rows[EIGHT_BITS]["weights"] < 0.5 * rows["exact"]["weights"] == 0.5 * rows[PLAIN]["weights"]
    assert rows[PLAIN]["difference"] > 0 and rows[EIGHT_BITS]["difference"] > 0
    assert report["machine"]["diffusers"][0].isdigit() and report["settings"]["layers"] == 3


def test_the_report_is_a_table_and_plain_json(report):
    text = "\n".join(tables(report))
    assert "| mechanism |" in text and "| 8 bits |" in text and "diffusers" in text
    assert json.loads(json.dumps(report))["mechanisms"].keys() == report["mechanisms"].keys()


def test_settings_that_make_no_sense_are_refused(capsys):
    with pytest.raises(ValueError, match="at least one run, got 0"):
        run_mechanism_bench(0)
    assert main(["bench", "--mechanisms", "--full"]) == 2
    assert "leave out --plot and --full" in capsys.readouterr().err
