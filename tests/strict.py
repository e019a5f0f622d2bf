"""Strict settings of JAX that several tests run under."""

import contextlib

import jax


@contextlib.contextmanager
def no_promotion():
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield


@contextlib.contextmanager
def only_finite():
    with jax.debug_nans(True), jax.debug_infs(True):
        yield
