"""Settings that every test shares."""

import signal

import hypothesis
import jax
import jax.experimental
import pytest

if not hasattr(jax, "enable_x64"):  # JAX before 0.8
    jax.enable_x64 = jax.experimental.enable_x64

# Hypothesis draws the same examples every time where CI is set, unless told not to;
# .ci/run prints a seed, and a failure prints the example to pin
hypothesis.settings.register_profile(
    "fresh", deadline=None, derandomize=False, print_blob=True
)
hypothesis.settings.load_profile("fresh")


@pytest.fixture(scope="module")
def strict():
    """Makes JAX refuse to promote types or ranks by itself."""
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield


@pytest.fixture(autouse=True, scope="session")
def ctrl_c():
    """Ctrl-C works in tests, and in the programs they start.

    A shell starts what runs in the background with SIGINT ignored, and programs
    inherit that.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
