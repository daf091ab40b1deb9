"""Tables of jobs as spreadsheets, notebooks and people write them: one row is one video, whatever its texts hold."""

from __future__ import annotations

import argparse
import json

import pytest

from fantasyid_core.cli.generate import add_video_arguments
from fantasyid_core.cli.rows import arguments_of_row, read_rows


def rows_of(tmp_path, name: str, text: str) -> list[argparse.Namespace]:
    path = tmp_path / name
    path.write_bytes(text.encode())
    return [
        arguments_of_row(row, f"line {number}", argparse.Namespace(), add_video_arguments)
        for number, row in read_rows(path)
    ]


@pytest.mark.parametrize("sign", ["\u2028", "\x85", "\x0b", "\x0c", "\x1c"])
@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_signs_that_python_parts_lines_by_stay_in_their_prompt(tmp_path, sign, suffix):
    prompt = f"smiles{sign}nods"
    row = json.dumps({"prompt": prompt, "seed": 3}, ensure_ascii=False)
    text = f"prompt,seed\n{prompt},3\n" if suffix == "csv" else row
    (found,) = rows_of(tmp_path, f"jobs.{suffix}", text)
    assert (found.prompt, found.seed) == (prompt, 3)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_prompt_of_two_lines_keeps_them_apart(tmp_path, end):
    first, second = rows_of(tmp_path, "jobs.csv", end.join(["prompt,seed", '"smiles', 'and nods",1', "turns,2", ""]))
    assert first.prompt.split() == ["smiles", "and", "nods"] and "\n" in first.prompt.replace("\r", "\n")
    assert (second.prompt, second.seed) == ("turns", 2)


@pytest.mark.parametrize("sign", [";", "\t"])
def test_what_the_header_is_parted_by_parts_the_cells(tmp_path, sign):
    (found,) = rows_of(tmp_path, "jobs.csv", f"prompt{sign}seed{sign}cfg\nsmiles, and nods{sign}1{sign}6.5\n")
    assert (found.prompt, found.seed, found.cfg) == ("smiles, and nods", 1, 6.5)


def test_whole_numbers_are_read_as_tables_write_them(tmp_path):
    (found,) = rows_of(tmp_path, "jobs.csv", "prompt,seed,steps\nsmiles,7.0,25.00\n")
    assert (found.seed, found.steps) == (7, 25)
    with pytest.raises(ValueError, match="line 2.*seed.*7.5"):
        rows_of(tmp_path, "jobs.csv", "prompt,seed\nsmiles,7.5\n")


def test_a_column_that_is_there_twice_is_refused(tmp_path):
    with pytest.raises(ValueError, match="the header names prompt twice"):
        rows_of(tmp_path, "jobs.csv", "prompt,seed, prompt\nsmiles,1,nods\n")
