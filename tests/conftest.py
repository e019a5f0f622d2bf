"""Settings that every test shares."""

import os
import signal

import hypothesis
import jax
import pytest

hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


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
