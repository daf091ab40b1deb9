"""The benchmark: that it measures what it says, and that its tables hold its figures. Small networks."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace

import pytest
import torch
from golden import relative_error
from small import seed_module

from fantasyid_core.cli import bench as command
from fantasyid_core.config import AdapterConfig, TransformerConfig
from fantasyid_core.identity.network.attention import LayerAttention
from fantasyid_core.tools import bench, timing
from fantasyid_core.tools import bench_block as block
from fantasyid_core.tools.bench_transformer import measure_transformer, release_attention

CONFIG = AdapterConfig.tiny(injected_layers=6)
SIZES = TransformerConfig.tiny(num_layers=6, max_text_seq_length=16)
ON_CPU = torch.device("cpu"), torch.float32


@pytest.fixture(scope="module")
def report():
    return bench.run_bench(runs=2, config=CONFIG, sizes=SIZES, device="cpu")


def test_the_rival_is_the_releases_formula():
    layer = seed_module(LayerAttention(AdapterConfig.tiny()))
    hidden, tokens = torch.randn(2, 7, 192), torch.randn(1, 6, 32)
    with torch.no_grad():
        expected = layer(tokens, hidden)
        assert relative_error(release_attention(layer, hidden, layer.project(tokens)), expected) < 1e-6


def test_rivals_are_timed_in_turn_and_compared_pair_by_pair(monkeypatch):
    """With a clock of its own: the machine slows down threefold, the ratio stays."""
    clock, order, speed = [0.0], [], [1.0]

    def work(name, seconds):
        order.append(name)
        clock[0] += seconds * speed[0]
        if name == "b":
            speed[0] *= 3

    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])
    calls = {"a": lambda: work("a", 2.0), "b": lambda: work("b", 1.0)}
    times = timing.paired(calls, 3, torch.device("cpu"), base="a")
    assert order == ["a", "b"] * 4  # the first turn does not count
    assert times["a"]["seconds"] == pytest.approx([6, 18, 54]) and times["a"]["min"] == pytest.approx(6)
    assert times["b"]["ratio"] == pytest.approx(2) and times["b"]["median"] == pytest.approx(9)


def test_the_report_is_complete_and_plain(report):
    assert json.loads(json.dumps(report)) == report
    assert report["settings"]["tokens"] == SIZES.video_tokens // 5 and report["settings"]["layers measured"] == 4
    assert list(report["injection"]) == [bench.RELEASE, bench.KEPT, bench.FUSED, bench.FOLDED]
    for times in (*report["injection"].values(), *report["identity"].values(), *report["by layers"]):
        assert len(times["seconds"]) == 2 and 0 < times["min"] <= times["median"]
    assert report["injection"][bench.RELEASE]["ratio"] == report["injection"][bench.KEPT]["ratio to kept"] == 1
    assert [row["layers"] for row in report["by layers"]] == [1, 2, 4]
    assert [row["form"] for row in report["by people"]] == ["folded", *["shared"] * 4, "folded"]
    assert report["video"]["identity computations"] == {"release": 50, "here": 1}
    assert report["video"]["K and V projections"] == {"release": 300, "here": 6}
    assert "transformer" not in report


def test_memory_is_counted(report):
    """Closed form: two matrices [D, H * Nid] and a bias, of four D * I and 2 Cid * I and the norms."""
    memory, heads, nid = report["memory"], CONFIG.attention_heads, CONFIG.id_tokens
    width, inner, id_width = CONFIG.dit_width, CONFIG.inner_width, CONFIG.id_width
    whole = 2 * width * inner + 2 * id_width * inner + 2 * width + 2 * id_width
    folded = heads * nid * (2 * width + 1)
    assert memory["adapter"] == 6 * 4 * whole and memory["people 1"] == 6 * 4 * folded
    assert memory["share"] == folded / whole


@pytest.fixture(scope="module")
def full():
    return bench.run_bench(full=True, runs=1, config=CONFIG, sizes=SIZES, device="cpu", people=0)


def test_the_full_bench_measures_all_tokens_and_layers(full):
    assert full["settings"]["tokens"] == SIZES.video_tokens == full["by tokens"][-1]["tokens"]
    assert [row["layers"] for row in full["by layers"]] == [1, 2, 4, 6]
    assert full["sampling"]["mechanisms"]["exact"]["difference"] == 0 and "likeness" not in full["sampling"]
    assert json.loads(json.dumps(full)) == full


def test_the_full_bench_measures_one_block_at_all_tokens(full):
    """Ours against the official formula and diffusers' plain block; the plain one lacks what the identity adds."""
    settings, rows = full["block"]["settings"], full["block"]["rows"]
    assert settings["tokens"] == SIZES.video_tokens and settings["text tokens"] == 16
    named = [block.PLAIN, block.OFFICIAL, block.KEPT, block.OURS, "8 bits"]
    assert list(rows) == [*named, "attention native-math", "attention native-flash", block.HALF]
    assert rows[block.OFFICIAL]["difference"] == 0 and rows[block.PLAIN]["difference"] > 0.05
    for name in (block.KEPT, block.OURS, "attention native-math", "attention native-flash"):
        assert rows[name]["difference"] < 1e-5
    for name in ("8 bits", block.HALF):
        assert 1e-5 < rows[name]["difference"] < 0.1
    assert rows[block.PLAIN]["to plain"] == 0 and all(row["seconds"] > 0 for row in rows.values())
    weights = {name: row["weights"] for name, row in rows.items()}
    assert weights[block.PLAIN] < weights[block.OURS] < weights[block.OFFICIAL] == weights[block.KEPT]
    assert weights["8 bits"] < 0.5 * weights[block.OURS] == weights[block.HALF]


def test_a_table_of_scores_that_does_not_fit_is_left_out(monkeypatch):
    monkeypatch.setattr(block, "free_memory", lambda: 1000)
    report = block.measure_block(SIZES, CONFIG, *ON_CPU)
    assert "its table of scores needs" in report["rows"]["attention native-math"]["skipped"]
    assert block.tables(report)[-1].startswith("attention native-math was left out: ")


def test_the_block_stays_as_it_was():
    with torch.inference_mode():
        made = block._Block(
            replace(SIZES, num_layers=1), replace(CONFIG, injected_layers=1), *ON_CPU, lambda text: None
        )
        before = {name: value.clone() for name, value in made.transformer.state_dict().items()}
        made.rows(1)
    after = made.transformer.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert not made.transformer.transformer_blocks[0]._forward_hooks


def test_no_runs_are_refused():
    with pytest.raises(ValueError, match="at least one run, got 0"):
        bench.run_bench(runs=0, config=CONFIG, sizes=SIZES)


def test_the_stand_in_for_the_mesh_has_its_sizes():
    assert bench.stand_in_topology(AdapterConfig()).vertex_counts == (5023, 1256, 314)


def test_the_whole_transformer_is_measured(monkeypatch):
    times = measure_transformer(CONFIG, SIZES, torch.device("cpu"), torch.float32, 1)
    assert list(times) == ["plain", "folded", "release's formula"]
    assert times["plain"]["ratio"] == 1 and times["folded"]["peak"] == 0
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10, 10))
    skipped = measure_transformer(CONFIG, SIZES, torch.device("cuda"), torch.bfloat16, 1)
    assert "GiB free" in skipped["skipped"]["reason"]


def test_the_tables_are_markdown_with_the_figures(report):
    lines = command.tables(report)
    heads = [line for line in lines if line.startswith("### ")]
    assert len(heads) == 7
    for head in heads:
        table = lines[lines.index(head) + 2 :]
        table = table[: table.index("")] if "" in table else table
        assert len(table) > 2 and len({line.count("|") for line in table}) == 1
    folded = next(line for line in lines if line.startswith("| folded |"))
    times = report["injection"]["folded"]
    assert f"| {times['ratio']:.2f} | {times['ratio to kept']:.2f} |" in folded
    transformer = {"plain": {"min": 1.0, "median": 1.0, "ratio": 1.0, "peak": 2**30}}
    transformer["folded"] = {"min": 1.04, "median": 1.04, "ratio": 1 / 1.04, "peak": 2**31}
    assert "| folded | 1040.0 | 1040.0 | +4.0% | 2.0 |" in command.tables({**report, "transformer": transformer})
    assert report["machine"]["diffusers"] in lines[0] and report["machine"]["device"] in lines[0]
    reason = {"skipped": {"reason": "needs about 20 GiB free"}}
    assert command.tables({**report, "transformer": reason})[-1].endswith("needs about 20 GiB free.")


def test_the_tables_of_the_full_bench_hold_block_and_mechanisms(full):
    lines = command.tables(full)
    assert f"### One block at 16 + {SIZES.video_tokens} tokens" in lines
    assert "### Sampling under every mechanism" in lines
    row = full["block"]["rows"][block.OURS]
    assert any(line.startswith(f"| {block.OURS} | {row['seconds']:.3g} | {row['to plain']:+.1%} |") for line in lines)


def run_command(monkeypatch, report, *arguments):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    monkeypatch.setattr(bench, "run_bench", lambda *args, **options: report)
    return command.run(parser.parse_args(arguments))


def test_the_command_prints_tables_or_json(report, monkeypatch, capsys):
    assert run_command(monkeypatch, report) == 0
    assert capsys.readouterr().out.splitlines() == command.tables(report)
    assert run_command(monkeypatch, report, "--json") == 0
    assert json.loads(capsys.readouterr().out) == report


def test_a_plot_without_matplotlib_says_what_to_install(report, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(RuntimeError, match="pip install matplotlib"):
        run_command(monkeypatch, report, "--plot", str(tmp_path / "plot.png"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("which", ["report", "full"])
def test_the_plot_is_a_png(which, request, monkeypatch, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: the benchmark's plot is NOT tested")
    run_command(monkeypatch, request.getfixturevalue(which), "--plot", str(tmp_path / "plot.png"))
    assert (tmp_path / "plot.png").read_bytes()[:4] == b"\x89PNG"


def test_the_processor_is_named(monkeypatch, tmp_path):
    from fantasyid_core.tools import processor

    (tmp_path / "cpuinfo").write_text(
        "processor : 0\nmodel name\t: AMD   EPYC 7B13\nprocessor : 1\nmodel name\t: other\n"
    )
    assert (
        processor._linux(tmp_path / "cpuinfo").strip() == "AMD   EPYC 7B13" and processor._linux(tmp_path / "no") == ""
    )
    monkeypatch.setattr(processor.platform, "system", lambda: "Linux")
    monkeypatch.setattr(processor, "_linux", lambda: "AMD   EPYC 7B13")
    assert processor.processor_name() == "AMD EPYC 7B13"
    monkeypatch.setattr(processor, "_linux", lambda: "")
    assert processor.processor_name() == processor.platform.machine()
