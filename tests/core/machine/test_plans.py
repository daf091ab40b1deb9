"""Plans for cards and main memory, counted from the headers of a model of the real sizes and of a small one."""

from __future__ import annotations

import pytest
import torch

from fantasyid_core.config import TransformerConfig
from fantasyid_core.machine import memory, plans
from fantasyid_core.machine.memory import check_memory, free_memory
from fantasyid_core.machine.networks import Networks
from fantasyid_core.machine.placement import OutOfMemory, explained, is_of_the_machine
from fantasyid_core.machine.plans import advice, card_bytes, check_stages, choose_plan, cpu_dtype
from fantasyid_core.machine.sizes import ModelSizes, Network, model_sizes
from fantasyid_core.tools.random_model import write_random_model

GIB, GB = 2**30, 10**9


def network(millions: float, itemsize: int = 2, kept: float = 0.0) -> Network:
    return Network(int(millions * 1e6), int(millions * 1e6) * itemsize, int(kept * 1e6))


@pytest.fixture(scope="module")
def real():
    """The release in bfloat16, as it was measured at full size."""
    return ModelSizes(
        transformer=network(5625.1, kept=160), injection=network(881), identity=network(61.7),
        text_encoder=network(4762), vae=network(215.6), face_encoder=network(304, 2), folded=int(881e6 * 0.54),
        config=TransformerConfig(), vae_width=128,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("card", "name"),
    [
        (80, "everything on the card"),
        (24, "everything on the card"),
        (16, "networks in turn"),
        (12, "8 bits"),
        (8, "blocks in turn"),
    ],
)
def test_every_card_gets_the_fastest_plan_that_fits(real, card, name):
    plan = choose_plan(real, card * GB)
    assert plan.name == name and plan.card <= card * GB
    assert f"about {plan.card / GIB:.1f} GiB of the card" in plan.line() and plan.cost in plan.line()


def test_a_plan_that_cannot_fit_says_what_would(real):
    with pytest.raises(ValueError, match=r"No plan fits into 1.9 GiB. The smallest is .*about \d.*--cfg 1.*half"):
        choose_plan(real, 2 * GB)


def test_plans_are_listed_from_fastest_to_smallest(real):
    found = plans.plans(real)
    assert [plan.name for plan in found][0] == "everything on the card"
    assert [plan.card for plan in found] == sorted((plan.card for plan in found), reverse=True)
    assert plans.plans(real, 1)[-1].card < found[-1].card  # without guidance there is half of the work


def test_sizes_of_cards_are_read_and_other_words_are_refused(monkeypatch):
    assert card_bytes("12GB") == 12 * GB and card_bytes("8 gb") == 8 * GB
    for word in ("much", "0GB", "-1GB", "nanGB"):
        with pytest.raises(ValueError, match="Expected a size such as 8GB, 12GB, 24GB, or auto"):
            card_bytes(word)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="PyTorch finds none. Say it: --fit 12GB"):
        card_bytes("auto")


def test_a_cpu_computes_large_models_in_bfloat16(real, tmp_path):
    assert cpu_dtype(real) == torch.bfloat16
    assert cpu_dtype(model_sizes(write_random_model(tmp_path / "model"))) == torch.float32


def test_stages_are_compared_with_free_memory_before_loading(real):
    check_stages(real, torch.bfloat16, True, free=8 * GIB)  # its weights lie in the files
    with pytest.raises(
        RuntimeError, match=r"Encoding the prompt in float32 needs .*12.0 GiB are free. Nothing was loaded"
    ):
        check_stages(real, torch.float32, True, free=12 * GIB)
    with pytest.raises(RuntimeError, match="Sampling in float32 needs .* --dtype bf16 needs half of it"):
        check_stages(real, torch.float32, True, free=23 * GIB)
    with pytest.raises(RuntimeError, match="in bfloat16 needs .* Or close other programs"):
        check_stages(real, torch.bfloat16, True, free=1 * GIB)


def test_generate_checks_before_it_loads(tmp_path, monkeypatch):
    from fantasyid_core import pipeline
    from fantasyid_core.pipeline import Inputs, Settings, generate
    from fantasyid_core.request import PersonRequest

    monkeypatch.setattr(plans, "free_memory", lambda: 1000)
    monkeypatch.setattr(pipeline.run, "load_adapter", lambda *_: pytest.fail("loaded"))
    inputs = Inputs(write_random_model(tmp_path / "model"), PersonRequest(tmp_path / "face.png"))
    with pytest.raises(RuntimeError, match="Nothing was loaded"):
        generate(inputs, Settings("a", device="cpu"))


def test_headers_tell_the_sizes(tmp_path):
    from fantasyid_core import load_adapter
    from fantasyid_core.host.diffusers import load_transformer
    from fantasyid_core.host.diffusers.mechanisms import stored_in_8_bits

    folder = write_random_model(tmp_path / "model")
    sizes, transformer, adapter = model_sizes(folder), load_transformer(folder), load_adapter(folder)
    count = sum(value.numel() for value in transformer.state_dict().values())
    assert sizes.transformer.weights == count and sizes.transformer.stored == 4 * count
    layers = sum(value.numel() for value in adapter.layers.parameters())
    assert (sizes.injection.weights, sizes.identity.weights > 0, sizes.text_encoder.weights > 0) == (layers, True, True)
    with stored_in_8_bits(transformer, torch.float32):
        stored = sum(value.nbytes for value in transformer.state_dict().values())
    assert abs(sizes.transformer.bytes(torch.float32, True) - stored) / stored < 0.05


def test_a_containers_limit_counts(tmp_path, monkeypatch):
    for name, text in (("max", "1000000"), ("used", "900000"), ("stat", "anon 5\ninactive_file 30000\n")):
        (tmp_path / name).write_text(text)
    places = (tmp_path / "max", tmp_path / "used", tmp_path / "stat", "inactive_file")
    monkeypatch.setattr(memory, "_LIMITS", (places,))
    assert free_memory() == 130000
    (tmp_path / "max").write_text("max")
    assert free_memory() > 10**6
    with pytest.raises(RuntimeError, match="Sampling needs 2.0 GiB of main memory, 1.0 GiB are free"):
        check_memory("Sampling", 2 * GIB, "", GIB)


def test_a_full_card_names_the_plans_that_need_less(real):
    with pytest.raises(OutOfMemory, match="too little memory.*--offload sequential.*--fit auto") as caught:
        with explained(lambda: advice(real)):
            raise torch.OutOfMemoryError("CUDA out of memory")
    assert is_of_the_machine(caught.value) and not is_of_the_machine(ValueError("a row"))


def test_networks_are_loaded_once_and_let_go():
    networks, loads = Networks(), []
    for _ in range(2):
        networks.get("VAE", lambda: loads.append(1) or object())
    assert loads == [1] and "VAE" in networks
    networks.let_go("VAE", "transformer")
    assert "VAE" not in networks
    networks.get("VAE", lambda: loads.append(1) or object())
    assert loads == [1, 1]
