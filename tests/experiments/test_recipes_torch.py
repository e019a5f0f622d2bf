"""PyTorch's recipe has the rates of PyTorch's own scheduler, and survives a save."""

import numpy as np
import pytest
from recipe_code import check_output, code_of, needs, run

from clr_optax import clr_schedule, momentum_schedule

CYCLIC = ("triangular", 1.0), ("triangular2", 1.0), ("exp_range", 0.9998)


def later(x: float) -> float:
    """A scale function that can be imported."""
    return 1 / (1 + x)


@pytest.fixture
def torch_model():
    import torch

    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 1))


def torch_step(names: dict, model) -> None:
    """A step of training, as a user writes it."""
    names["optimizer"].zero_grad()
    model(names["torch"].ones(2, 3)).sum().backward()
    names["optimizer"].step()
    names["after_batch"]()


def rates_and_momenta(optimizer) -> list[tuple[float, float]]:
    return [(group["lr"], group["momentum"]) for group in optimizer.param_groups]


@needs("torch")
@pytest.mark.parametrize(("mode", "gamma"), CYCLIC)
def test_pytorch_has_the_rates_and_momenta_of_its_own_cyclic_lr(
    torch_model, mode, gamma
):
    shape = {"step_size_down": 50, "mode": mode, "gamma": gamma}
    rates = [clr_schedule(1e-4, 1e-2, 201, **shape), clr_schedule(0.1, 3, 201, **shape)]
    momentum = momentum_schedule(0.7, 0.95, 201, **shape)
    ours = run(code_of("PyTorch")[1], model=torch_model, rates=rates, momentum=momentum)
    torch = ours["torch"]
    groups = [{"params": layer.parameters()} for layer in torch_model]
    peer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    cyclic = torch.optim.lr_scheduler.CyclicLR(
        peer, [1e-4, 0.1], [1e-2, 3.0], 201, 50, mode, gamma, None, "cycle", True,
        base_momentum=0.7, max_momentum=0.95,
    )  # fmt: skip
    torch_step(ours, torch_model)
    peer.step()
    cyclic.step()
    here, there = [], []
    for _ in range(10_000):
        here.append(rates_and_momenta(ours["optimizer"]))
        there.append(rates_and_momenta(peer))
        ours["after_batch"]()
        cyclic.step()
    np.testing.assert_allclose(here, there, rtol=1e-6, atol=0)


@needs("torch")
def test_pytorch_prints_its_rates_and_a_schedule_that_was_loaded(
    torch_model, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    names = {"model": torch_model}
    for code in code_of("PyTorch"):
        names = run(code, **names)
    rates, schedule = capsys.readouterr().out.splitlines()
    check_output(rates, "PyTorch")
    check_output(schedule, "PyTorch", 1, rtol=0)


@needs("torch")
def test_pytorch_schedules_survive_save_and_load(torch_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scaled = {"scale_fn": later, "scale_mode": "iterations"}
    rates = [clr_schedule(1e-4, 1e-2, 5), clr_schedule(1e-3, 0.1, 5, **scaled)]
    momentum = momentum_schedule(0.8, 0.9, 5)
    setup, use, save = code_of("PyTorch")
    first = run(setup, model=torch_model)
    first = run(use, **first | {"rates": rates, "momentum": momentum})
    for _ in range(7):
        torch_step(first, torch_model)
    second = run(save, **first)
    assert second["rates"] == rates
    assert second["rates"] is not rates

    model = type(torch_model)(*map(type(torch_model[0]), (3, 4), (4, 1)))
    second = run(use, **second | {"model": model})
    for name, part in second["saved"].items():
        if name != "rates":
            second[name].load_state_dict(part)
    for _ in range(20):
        torch_step(first, torch_model)
        torch_step(second, model)
        ours, loaded = (rates_and_momenta(x["optimizer"]) for x in (first, second))
        assert ours == loaded
    for weight, loaded in zip(
        torch_model.parameters(), model.parameters(), strict=True
    ):
        assert (weight == loaded).all()
