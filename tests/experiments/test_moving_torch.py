"""What experiments/RECIPES.md says about PyTorch's CyclicLR, shown on the real one."""

import inspect
import pickle

import numpy as np
import optax
import pytest
import test_moving
from recipe_code import code_of, run

from clr_core import clr
from clr_optax import clr_schedule, momentum_schedule

ROWS = test_moving.table("### From PyTorch's OneCycleLR")
torch = pytest.importorskip("torch", reason="torch is not installed")


def cyclic_lr(base_lr=0.0, max_lr=1.0, step_size_up=2, **more):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1, momentum=0.5)
    more = {"cycle_momentum": False} | more
    cyclic = torch.optim.lr_scheduler.CyclicLR
    scheduler = cyclic(optimizer, base_lr, max_lr, step_size_up, **more)
    optimizer.step()  # PyTorch warns of schedulers that step before optimizers
    return scheduler


@pytest.mark.parametrize(
    ("peer", "listed"),
    [("CyclicLR", test_moving.TORCH), ("OneCycleLR", test_moving.ONE_CYCLE)],
)
def test_the_table_has_all_its_arguments(peer, listed):
    peer = getattr(torch.optim.lr_scheduler, peer)
    assert set(inspect.signature(peer).parameters) <= set(listed.split())


def test_cyclic_lr_takes_half_a_cycle():
    peer = cyclic_lr(step_size_up=5)
    for _ in range(5):
        peer.step()
    assert peer.get_last_lr() == [1.0]


def test_cyclic_lr_allows_a_dip():
    peer = cyclic_lr(1.0, 0.0)
    peer.step()
    assert peer.get_last_lr() == [0.5]


@pytest.mark.parametrize("scale_mode", ["cycle", "iterations", "misspelt"])
def test_cyclic_lr_gives_its_scale_fn_the_same(scale_mode):
    seen = []
    peer = cyclic_lr(scale_fn=lambda x: seen.append(x) or 1.0, scale_mode=scale_mode)
    for _ in range(9):
        peer.step()
    assert seen == (
        [1, 1, 1, 1, 2, 2, 2, 2, 3, 3] if scale_mode == "cycle" else [*range(10)]
    )


def test_triangular2_never_overflows():
    peer = cyclic_lr(mode="triangular2", step_size_up=1)
    for _ in range(2 * 1024 - 1):
        peer.step()
    with pytest.raises(OverflowError):
        peer.step()
    assert float(clr(2 * 1025 + 1, 0.5, 1.0, 1, mode="triangular2")) == 0.5


def test_cyclic_lr_loses_a_lambda():
    saved = cyclic_lr(scale_fn=lambda cycle: 0.5)
    saved.step()
    assert saved.get_last_lr() == [0.25]
    loaded = cyclic_lr()
    loaded.load_state_dict(saved.state_dict())
    loaded.step()
    saved.step()
    assert saved.get_last_lr() == [0.5]
    assert loaded.get_last_lr() == [1.0]
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(saved)


def test_cyclic_lr_overwrites_momentum():
    group = cyclic_lr(cycle_momentum=True).optimizer.param_groups[0]
    assert group["momentum"] == 0.9
    assert cyclic_lr().optimizer.param_groups[0]["momentum"] == 0.5


def test_last_epoch_is_one_behind():
    group = {"params": [torch.zeros(1)], "initial_lr": 0.0}
    optimizer = torch.optim.SGD([group], lr=0.1)
    cyclic = torch.optim.lr_scheduler.CyclicLR
    peer = cyclic(optimizer, 0.0, 1.0, 8, cycle_momentum=False, last_epoch=6)
    assert peer.get_last_lr() == [float(clr_schedule(0, 1, 8)(7))] == [0.875]


def test_get_last_lr_is_the_next_rate():
    peer = cyclic_lr(step_size_up=4)  # one update is done
    peer.step()
    assert peer.get_last_lr() == [0.25] == [float(clr_schedule(0, 1, 4)(1))]


def one_cycle_lr(total_steps, **more):
    """PyTorch's scheduler, its rates and its momenta."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1, momentum=0.5)
    peer = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.1, total_steps=total_steps, **more
    )
    (group,), rates, momenta = optimizer.param_groups, [], []
    for _ in range(total_steps):
        rates.append(group["lr"])
        momenta.append(group["momentum"])
        optimizer.step()
        if len(rates) < total_steps:
            peer.step()
    return peer, rates, momenta


@pytest.mark.parametrize("three_phase", [False, True])
@pytest.mark.parametrize(
    ("strategy", "anneal"), [("cos", "cosine"), ("linear", "linear")]
)
def test_one_cycle_lr(strategy, anneal, three_phase):
    numbers = {"div_factor": 20, "final_div_factor": 100}
    numbers |= {"base_momentum": 0.8, "max_momentum": 0.9}
    more = {"anneal_strategy": strategy, "three_phase": three_phase} | numbers
    _, rates, momenta = one_cycle_lr(200, pct_start=0.25, **more)
    names = {"optax": optax, "momentum_schedule": momentum_schedule, "max_lr": 0.1}
    names |= {"peak": 49, "last": 199} | numbers
    (code,) = code_of("Moving over")
    code = code.replace('"cosine"', f'"{anneal}"')
    steps = 200
    if three_phase:
        (ends,) = (row[1] for row in ROWS if row[0] == "`three_phase`")
        code = code.replace(code.strip().splitlines()[0], ends.strip("`"))
        code, steps = code.replace("last - peak", "peak"), 99
    names = run(code, **names)
    here = [float(names["rate"](step)) for step in range(200)]
    np.testing.assert_allclose(here, rates, rtol=0, atol=2e-8)
    here = names["momentum"](np.arange(steps))
    np.testing.assert_allclose(here, momenta[:steps], rtol=1e-6)
    assert set(momenta[steps:]) <= {0.9}


def test_one_cycle_lr_ends():
    peer, rates, _ = one_cycle_lr(20)
    peer.step()
    assert peer.get_last_lr() != rates[-1:]
    with pytest.raises(ValueError, match="total steps"):
        peer.step()
    schedule = optax.piecewise_interpolate_schedule("cosine", 0.004, {5: 25, 19: 4e-6})
    np.testing.assert_allclose(float(schedule(19)), rates[-1], rtol=1e-4)
    assert float(schedule(20)) == float(schedule(19))
