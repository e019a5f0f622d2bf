"""Strict settings of JAX that several tests run under."""

import contextlib
import functools

import jax
import pytest


@contextlib.contextmanager
def no_promotion():
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield


@contextlib.contextmanager
def only_finite():
    with jax.debug_nans(True), jax.debug_infs(True):
        yield


@contextlib.contextmanager
def all_of_them():
    with no_promotion(), only_finite(), jax.checking_leaks(), jax.enable_checks(True):
        yield


SETTINGS = {
    "all of them": all_of_them,
    "no promotion": no_promotion,
    "no leaks": jax.checking_leaks,
    "checks": functools.partial(jax.enable_checks, True),
    "only finite": only_finite,
}
# each alone tells which of them it was
TOGETHER_OR_ALONE = [
    pytest.param(name, marks=() if name == "all of them" else pytest.mark.slow)
    for name in SETTINGS
]
