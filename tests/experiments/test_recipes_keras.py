"""Keras's recipe takes the rate of every step, and survives a save."""

import itertools
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from recipe_code import (
    batches_of,
    check_output,
    code_of,
    line,
    needs,
    run,
    split,
)

from clr_core import clr

KERAS_WARNS = pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning:keras")


@needs("keras")
@KERAS_WARNS
def test_keras_trains_saves_and_loads(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    define, use, _ = code_of("Keras 3")
    names = run(define)
    keras = names["keras"]
    assert keras.backend.backend() == "jax"
    assert "tensorflow" not in sys.modules
    x, y = line()
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    names = run(use, **names | {"model": model, "x": x, "y": y})
    check_output(capsys.readouterr().out, "Keras 3")
    loaded = names["model"]
    assert loaded is not model
    assert isinstance(loaded.optimizer._learning_rate, names["CLR"])
    assert loaded.optimizer._learning_rate.schedule == names["rate"].schedule
    assert int(loaded.optimizer.iterations) == 4

    model.fit(x, y, batch_size=8, verbose=0, shuffle=False)
    loaded.fit(x, y, batch_size=8, verbose=0, shuffle=False)
    for weight, again in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, again)
    rate = float(loaded.optimizer.learning_rate)
    assert rate == float(clr(8, 1e-4, 1e-2, 2000, mode="triangular2"))


@needs("keras")
@KERAS_WARNS
def test_keras_takes_the_rate_of_every_step():
    names = run(code_of("Keras 3")[0])
    keras = names["keras"]
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    schedule = names["CLR"](base_lr=0.25, max_lr=1.0, step_size=3)
    model.compile(keras.optimizers.SGD(schedule), loss=lambda y, out: out)
    model.set_weights([np.zeros((1, 1))])
    model.fit(np.ones((8, 1)), np.ones((8, 1)), batch_size=1, verbose=0)
    rates = 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25, 0.5
    assert model.get_weights()[0].item() == -sum(rates)  # the gradient is always 1


@needs("keras")
@KERAS_WARNS
def test_keras_is_tested_with_its_statistics_and_dropout(capsys):
    define, _, find = code_of("Keras 3")
    keras = run(define)["keras"]
    layers = keras.layers

    def network():
        keras.utils.set_random_seed(0)
        return keras.Sequential(
            [
                keras.Input((3,)),
                layers.Dense(16),
                layers.BatchNormalization(),
                layers.ReLU(),
                layers.Dropout(0.1),
                layers.Dense(1),
            ]
        )

    x, y = line(256)
    batches = batches_of(x=split(x), y=split(y))
    test = run(find, model=network(), batches=batches)["test"]
    check_output(capsys.readouterr().out, "Keras 3", 1, rtol=0.2)

    model, losses = network(), []
    model.compile(keras.optimizers.SGD(0.1), loss="mse")
    for batch, rate in zip(itertools.cycle(batches), test.lrs[:70], strict=False):
        model.optimizer.learning_rate = rate
        losses.append(model.train_on_batch(batch["x"], batch["y"][:, None]))
        model.reset_metrics()
    np.testing.assert_allclose(test.losses[:70], jnp.array(losses), rtol=1e-4)
