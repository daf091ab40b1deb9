"""Captions beside the videos and in tables; what does not match is told by name."""

from __future__ import annotations

import json

import pytest

from fantasyid_core.training.data.captions import read_captions
from fantasyid_core.training.data.finding import find_videos


@pytest.fixture
def folder(tmp_path):
    for name in ("a.mp4", "b.mp4", "sub/c.mp4", "sub/a.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def read(folder, **options):
    return read_captions(find_videos(folder), folder, **options)


def test_text_files_beside_the_videos_are_captions(folder):
    (folder / "a.txt").write_text("\ufeff A man\n nods. \n", encoding="utf-8")
    (folder / "b.json").write_text(json.dumps({"caption": "a woman blinks", "fps": 8}))
    (folder / "sub" / "c.json").write_text(json.dumps("smiles"))
    (folder / "sub" / "a.txt").write_text("other")
    captions = read(folder, strict=True)
    assert captions.texts == {
        "a.mp4": "A man nods.",
        "b.mp4": "a woman blinks",
        "sub/c.mp4": "smiles",
        "sub/a.mp4": "other",
    }
    assert not captions.problems


def test_a_table_names_videos_by_path_or_name(folder):
    (folder / "captions.csv").write_text(
        'video,caption\na.mp4,one\nb,"two, with a comma"\nsub\\c.mp4,three\nsub/a,four\n'
    )
    captions = read(folder, strict=True)
    assert captions.texts == {"a.mp4": "one", "b.mp4": "two, with a comma", "sub/c.mp4": "three", "sub/a.mp4": "four"}


def test_a_table_of_json_lines_may_lie_elsewhere(folder, tmp_path_factory):
    table = tmp_path_factory.mktemp("elsewhere") / "texts.jsonl"
    rows = [{"file": "./b.mp4", "text": "two"}, {"name": "c", "prompt": "three"}]
    table.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    (folder / "b.txt").write_text("beside the video goes before the table")
    captions = read(folder, table=str(table))
    assert captions.texts == {"b.mp4": "beside the video goes before the table", "sub/c.mp4": "three"}
    assert captions.problems == ["2 of 4 videos have no caption: a.mp4, sub/a.mp4."]


BAD = {
    "names that are no videos": (
        "captions.csv",
        "video,caption\nz.mp4,one\nb.mp4,two\n",
        "1 videos that are not there: z.mp4",
    ),
    "a name of two videos": ("captions.csv", "video,caption\na.txt,1\n", "not there: a.txt"),
    "other columns": ("captions.csv", "clip,words\na.mp4,one\n", "captions.csv cannot be read (row 1 has no video"),
    "a row without a caption": ("captions.jsonl", '{"video": "a.mp4"}', "row 1 has no caption"),
    "a broken line": ("captions.jsonl", '{"video": "a.mp4", ', "captions.jsonl cannot be read"),
    "no text": ("a.txt", "  \n", "a.txt holds no caption: expected text"),
    "another object": ("a.json", '{"title": "x"}', "a.json holds no caption"),
    "broken json": ("a.json", "{", "a.json cannot be read as a caption"),
    "another encoding": ("a.txt", b"\xff\xfe\x00\xd8", "a.txt cannot be read as a caption"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_match_is_told_by_name_and_stops_only_a_strict_run(folder, case):
    name, content, told = BAD[case]
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    problems = " ".join(read(folder).problems)
    assert told in problems and "videos have no caption" in problems and "a.mp4" in problems
    with pytest.raises(ValueError, match="The captions do not match") as caught:
        read(folder, strict=True)
    assert told in str(caught.value)


def test_a_name_that_several_videos_share_needs_its_folder(folder):
    (folder / "sub2").mkdir()
    (folder / "sub2" / "c.mp4").write_bytes(b"x")
    (folder / "captions.csv").write_text("video,caption\nc,one\nsub2/c,two\n")
    captions = read(folder)
    assert captions.texts == {"sub2/c.mp4": "two"} and "give their folders: c." in captions.problems[0]


def test_the_second_of_two_tables_is_told(folder):
    (folder / "captions.csv").write_text("video,caption\na.mp4,one\n")
    (folder / "captions.jsonl").write_text('{"video": "b.mp4", "caption": "two"}')
    captions = read(folder)
    assert captions.texts == {"a.mp4": "one"} and "captions.jsonl is not read" in captions.problems[0]


def test_a_table_that_is_not_there_is_an_error(folder):
    with pytest.raises(FileNotFoundError, match="no caption file"):
        read(folder, table=str(folder / "absent.csv"))
