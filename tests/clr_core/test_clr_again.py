"""The schedule's laws once more: strict JAX, x64, four devices, eight threads."""

import threading
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from again import run_again
from oracle import exact_rate

from clr_core import clr
from clr_optax import clr_schedule

LAWS = (
    "clr_core/test_clr.py",
    "clr_core/test_clr_cosine.py",
    "clr_core/test_clr_growing.py",
    "clr_core/test_triangle.py",
)
MORE = "clr_core/test_clr_compiled.py", "clr_core/test_clr_numbers.py"
VALUES = "clr_optax/test_schedule_errors.py", "clr_optax/test_value.py"
CHECKS = {
    "JAX_NUMPY_RANK_PROMOTION": "raise",
    "JAX_CHECK_TRACER_LEAKS": "1",
    "JAX_ENABLE_CHECKS": "1",
    "JAX_DEBUG_NANS": "1",
}
STRICT = CHECKS | {"JAX_NUMPY_DTYPE_PROMOTION": "strict"}


@pytest.mark.slow
def test_rates_are_right_on_four_devices():
    run_again("clr_core/four_devices.py", JAX_NUM_CPU_DEVICES="4")


@pytest.mark.slow
def test_rates_are_right_under_strict_jax():
    run_again(*LAWS, *MORE, *VALUES, **STRICT)


@pytest.mark.slow
def test_rates_are_right_under_strict_jax_and_x64():
    run_again(*LAWS, **STRICT, JAX_ENABLE_X64="1")


@pytest.mark.slow
def test_optimizers_work_under_strict_jax():
    """But for the types, which Optax promotes itself."""
    run_again("clr_optax/test_schedule.py", **CHECKS)


def test_eight_threads_do_not_disturb_each_other():
    """Each has numbers, and settings, of its own; all start at once."""
    ready = threading.Barrier(8)

    def rates(thread):
        base, up, down = 0.125 * thread, 4 + thread, 2 + thread
        mode = ["triangular", "triangular2", "exp_range"][thread % 3]
        anneal = ["linear", "cosine"][thread % 2]
        options = {"step_size_down": down, "mode": mode, "anneal": anneal}
        gamma = 0.875 if mode == "exp_range" else 1.0
        ready.wait()
        worst = 0.0
        for step in range(60):
            # as many schedules as steps, so that threads build and compile at once
            top = base + 0.5 + step / 64
            schedule = clr_schedule(base, top, up, gamma=gamma, **options)
            with jax.enable_x64(thread % 2 == 0):
                eager = [
                    schedule(step),
                    clr(step, base, top, up, gamma=gamma, **options),
                ]
                compiled = jax.jit(schedule)(jnp.int32(step)) if step < 8 else eager[0]
            want = float(exact_rate(step, base, top, up, down, mode, gamma, anneal))
            got = np.array([*eager, compiled])
            assert got.dtype == np.float32
            worst = max(worst, np.abs(got - want).max())
        return worst

    with ThreadPoolExecutor(8) as pool:
        assert max(pool.map(rates, range(8))) < 1e-6
