"""A schedule as a value in a config, and built from one, in four libraries."""

import copy

import jax
import jax.numpy as jnp
import optax
import pytest

from clr_optax import clr_schedule, momentum_schedule

SCHEDULE = clr_schedule(0.25, 1.0, 4, mode="exp_range", gamma=0.5, anneal="cosine")
CONFIG = SCHEDULE.config()
FACTORIES = [clr_schedule, momentum_schedule]


def unnamed():
    """Returns a schedule that no text can hold."""
    return clr_schedule(0.25, 1.0, 4, scale_fn=lambda cycle: 1 / cycle)


def trains(optimizer):
    """Returns whether the optimizer's first update is minus the first rate."""
    update, _ = optimizer.update(jnp.ones(()), optimizer.init(jnp.ones(())))
    return update == -0.25


def test_hydra_is_given_a_schedule():
    instantiate = pytest.importorskip("hydra.utils").instantiate
    for schedule in (SCHEDULE, unnamed()):
        optimizer = instantiate({"_target_": "optax.sgd"}, learning_rate=schedule)
        assert trains(optimizer)
    assert instantiate({"_target_": "builtins.id"}, SCHEDULE) == id(SCHEDULE)


def test_hydra_builds_a_schedule():
    instantiate = pytest.importorskip("hydra.utils").instantiate
    target = {"_target_": "clr_optax.clr_schedule"}
    assert instantiate(target | CONFIG) == SCHEDULE
    assert instantiate(target, **CONFIG) == SCHEDULE
    nested = {"_target_": "optax.sgd", "learning_rate": target | CONFIG}
    assert trains(instantiate(nested))
    partial = instantiate(target | {"_partial_": True, "base_lr": 0.25, "max_lr": 1.0})
    assert partial(step_size=4) == clr_schedule(0.25, 1.0, 4)
    with pytest.raises(Exception, match="clr_schedule needs a whole step_size"):
        instantiate(target | CONFIG | {"step_size": 0})


def test_omegaconf_holds_a_schedule():
    omega = pytest.importorskip("omegaconf").OmegaConf
    for schedule in (SCHEDULE, unnamed()):
        config = omega.create({"a": [{"lr": schedule}]}, flags={"allow_objects": True})
        assert config.a[0].lr == schedule
        assert copy.deepcopy(config).a[0].lr == schedule
        assert omega.to_container(config)["a"][0]["lr"] == schedule
        merged = omega.merge(config, {"b": 1})
        assert merged.a[0].lr == schedule


@pytest.mark.parametrize("factory", FACTORIES)
def test_omegaconf_stores_the_config(factory):
    omega = pytest.importorskip("omegaconf").OmegaConf
    schedule = factory(0.25, 0.5, 4)
    config = omega.create(omega.to_yaml(schedule.config()))
    assert factory(**config) == schedule


def test_ml_collections_holds_a_schedule():
    library = pytest.importorskip("ml_collections")
    for schedule in (SCHEDULE, unnamed()):
        config = library.ConfigDict({"lr": schedule})
        assert config.lr == config.to_dict()["lr"] == schedule
        assert config.copy_and_resolve_references().lr == schedule
        frozen = library.FrozenConfigDict(config)
        assert frozen.lr == schedule
        assert hash(frozen) == hash(library.FrozenConfigDict({"lr": schedule}))
        config.lr = SCHEDULE
        assert config.lr == SCHEDULE
        assert "clr_schedule" in str(config)
        with pytest.raises(TypeError, match="type"):
            config.lr = "cosine"


@pytest.mark.parametrize("factory", FACTORIES)
def test_ml_collections_stores_the_config(factory):
    library = pytest.importorskip("ml_collections")
    schedule = factory(0.25, 0.5, 4)
    config = library.ConfigDict(schedule.config())
    assert factory(**config) == factory(**config.to_dict()) == schedule
    config.step_size = 5
    assert factory(**config) == factory(0.25, 0.5, 5)


def test_fiddle_holds_a_schedule():
    fiddle = pytest.importorskip("fiddle")
    for schedule in (SCHEDULE, unnamed()):
        config = fiddle.Config(optax.sgd, learning_rate=schedule)
        assert trains(fiddle.build(config))
        assert copy.deepcopy(config) == config
        assert fiddle.build(copy.copy(config).learning_rate) == schedule


@pytest.mark.parametrize("factory", FACTORIES)
def test_fiddle_builds_a_schedule(factory):
    fiddle = pytest.importorskip("fiddle")
    config = fiddle.Config(factory, 0.25, 0.5, step_size=4)
    assert fiddle.build(config) == factory(0.25, 0.5, 4)
    config.anneal = "cosine"
    assert fiddle.build(config) == factory(0.25, 0.5, 4, anneal="cosine")
    assert trains(fiddle.build(fiddle.Config(optax.sgd, learning_rate=config))) == (
        factory is clr_schedule
    )
    config.anneal = "cosin"
    with pytest.raises(ValueError, match="did you mean 'cosine'"):
        fiddle.build(config)


def test_a_schedule_is_a_leaf():
    assert jax.tree.leaves({"lr": SCHEDULE}) == [SCHEDULE]
