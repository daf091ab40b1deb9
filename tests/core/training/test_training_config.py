"""Configs: what is shipped loads, what is misspelt is named with its neighbour, what cannot be is refused early."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from fantasyid_core.training.config import TrainingConfig, config_from_dict, config_to_dict, differences, load_config

RELEASE = {"model": {"folder": "m"}, "data": {"folder": "d"}}


def with_(**groups):
    merged = RELEASE | groups
    return {key: RELEASE.get(key, {}) | each if isinstance(each, dict) else each for key, each in merged.items()}


def test_the_papers_config_says_what_the_paper_says():
    config = load_config("paper_5b", ["model.folder=m", "data.folder=d"])
    assert config.steps == 90000 and config.optimizer.lr == 3e-6 and config.identity.null_text == 0.1
    assert (config.model.variant, config.model.trains, config.optimizer.cycles) == ("paper", "adapter", 3)
    assert config.precision == "bf16" and config.model.gradient_checkpointing and config.condition.picture == "face"


def test_the_tiny_config_trains_all_on_own_heads():
    config = load_config("tiny")
    assert (config.model.kind, config.model.trains, config.data.kind) == ("tiny", "all", "heads")
    assert config.data.frames == 9 and config.data.size == 64


def test_changes_of_the_command_line_win_and_numbers_may_be_words_to_yaml(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("model: {folder: m}\ndata: {folder: d}\noptimizer: {lr: 1e-4, ema: 0}\n")
    config = load_config(path, ["optimizer.lr=5e-5", "steps=7", "model.sizes={fusion_layers: 3}", "device=null"])
    assert config.optimizer.lr == 5e-5 and config.steps == 7 and config.model.sizes == {"fusion_layers": 3}
    assert config.optimizer.ema == 0 and config.device is None


def test_a_config_survives_the_way_through_plain_values():
    config = load_config("tiny", ["seed=3"])
    assert config_from_dict(config_to_dict(config)) == config
    assert config_to_dict(config) == asdict(config)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (with_(optimizer={"learning_rat": 1}), r"optimizer\.learning_rat is no setting"),
        (with_(optimizer={"weigth_decay": 1}), r"did you mean optimizer\.weight_decay\?"),
        (with_(step=4), r"step is no setting; did you mean steps\?"),
        (with_(optimizer={"lr": 0}), r"optimizer\.lr: expected a number above 0, got 0"),
        (with_(optimizer={"lr": "fast"}), r"optimizer\.lr: expected a number, got 'fast'"),
        (with_(optimizer={"batch": 1.5}), r"optimizer\.batch: expected a whole number, got 1\.5"),
        (with_(optimizer={"batch": True}), r"optimizer\.batch: expected a whole number, got True"),
        (with_(optimizer={"ema": 1}), "below 1"),
        (with_(identity={"null_text": 1.2}), r"identity\.null_text: expected a number from 0 to 1"),
        (with_(identity={"reference": "other"}), "'view', 'own frame'"),
        (with_(condition={"picture": "last"}), "'first frame', 'face', 'none'"),
        (with_(model={"folder": "m", "trains": "everything"}), "'adapter', 'adapter\\+lora', 'all'"),
        (with_(model={"folder": None}), r"model\.folder is missing"),
        (with_(data={"folder": None}), r"data\.folder is missing"),
        (with_(data={"folder": "d", "clips": 3, "people": 4}), r"data\.people"),
        (with_(data={"folder": "d", "twins": True}), r"data\.twins: expected data\.kind heads"),
        (with_(data={"kind": "heads", "clips": 7, "people": 2, "twins": True}), "even number of data.clips"),
        (with_(data={"kind": "heads", "clips": 8, "people": 5, "twins": True}), r"data\.people.*got 5 for 8"),
        (with_(data={"kind": "heads", "people": 4, "twins": True}, optimizer={"batch": 3}), r"expected an even one"),
        (with_(twin_weight=-1), "twin_weight"),
        (with_(validation={"solver": "euler"}), "'dpm', 'ddim'"),
        (with_(checkpoints={"keep_last": 0}), r"checkpoints\.keep_last: expected at least 1"),
        (with_(optimizer=3), "optimizer: expected keys and values"),
        ({}, r"model\.folder is missing"),
        (with_(precision="fp16"), "'fp32', 'bf16'"),
        (with_(steps=float("nan")), "steps: expected a whole number"),
        (with_(optimizer={"lr": float("nan")}), r"optimizer\.lr"),
    ],
)
def test_impossible_settings_are_refused_by_name(content, expected):
    with pytest.raises(ValueError, match=expected):
        config_from_dict(content)


def test_files_that_are_no_configs_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no config nothing.yaml.*paper_5b, tiny"):
        load_config("nothing.yaml")
    for content, expected in (("a: [", "not a YAML file"), ("- 1", "expected keys and values, got list")):
        path = tmp_path / "bad.yaml"
        path.write_text(content)
        with pytest.raises(ValueError, match=expected):
            load_config(path)
    for change, expected in (("steps", "such as optimizer.lr=1e-4"), ("steps.x=1", "steps is a value")):
        with pytest.raises(ValueError, match=expected):
            load_config("tiny", [change] if change == "steps" else ["steps=4", change])


def test_differences_are_named_by_their_place():
    ours, theirs = config_to_dict(load_config("tiny", ["optimizer.lr=2"])), config_to_dict(load_config("tiny"))
    assert differences(ours, theirs) == ["optimizer.lr: 2.0 instead of 0.001"]
    assert differences(theirs, theirs) == []


def test_a_config_cannot_be_changed():
    config = config_from_dict(RELEASE)
    assert isinstance(config, TrainingConfig)
    with pytest.raises(AttributeError):
        config.steps = 3
