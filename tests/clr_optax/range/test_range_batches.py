"""Batches: stacked, listed, loaded or none; nothing is asked for in vain."""

import functools
import itertools
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from range_problems import problem, regression

from clr_optax import lr_range_test
from clr_optax._range import loop

RNG = np.random.default_rng(0)
X = RNG.normal(size=(640, 8)).astype(np.float32)
Y = RNG.normal(size=640).astype(np.float32)
BATCHES = [(X[i : i + 16], Y[i : i + 16]) for i in range(0, 48, 16)]
PARAMS = problem()[0]
STACKED = jax.tree.map(lambda *a: np.stack(a), *BATCHES)


class Loader:
    """An iterable that can be started again, and says how it was used."""

    def __init__(self, batches):
        self.batches, self.started, self.given = batches, 0, 0

    def __iter__(self):
        self.started += 1
        for batch in self.batches:
            self.given += 1
            yield batch


class Sequence:
    """What Python iterates by the number of an item alone."""

    def __len__(self):
        return 3

    def __getitem__(self, i):
        return BATCHES[range(3)[i]]


def same(given):
    """The test with some batches, and that with the same ones stacked."""
    options = {"max_lr": 0.3, "num_steps": 20}
    expected = lr_range_test(regression, PARAMS, STACKED, **options)
    test = lr_range_test(regression, PARAMS, given, **options)
    np.testing.assert_allclose(test.losses, expected.losses, rtol=1e-5)
    assert test.num_finite == 20


@pytest.mark.parametrize(
    "given",
    [
        BATCHES,
        Loader(BATCHES),
        Sequence(),
        itertools.cycle(BATCHES),
        (batch for batch in BATCHES * 20),
        map(tuple, BATCHES * 20),
        [list(batch) for batch in BATCHES],
        [jax.tree.map(jnp.asarray, batch) for batch in BATCHES],
        jax.tree.map(jnp.asarray, STACKED),
    ],
    ids=lambda given: type(given).__name__,
)
def test_batches_of_every_kind_give_one_curve(given):
    same(given)


def test_torchs_loaders_give_tensors():
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.tensor(X[:48]), torch.tensor(Y[:48]))
    same(torch.utils.data.DataLoader(data, batch_size=16))
    with pytest.raises(ValueError, match=r"got Tensor at batch\[1\], .*batch single"):
        lr_range_test(regression, PARAMS, data)


def test_a_progress_bar_goes_around_any_of_them(capsys):
    tqdm = pytest.importorskip("tqdm")
    same(tqdm.tqdm(BATCHES * 10))
    assert "/30" in capsys.readouterr().err


@pytest.mark.parametrize("accumulate", [1, 4])
def test_no_batch_is_taken_in_vain(accumulate):
    batches = iter(BATCHES * 100)
    lr_range_test(
        regression, PARAMS, batches, max_lr=0.1, num_steps=20, accumulate=accumulate
    )
    assert len(list(batches)) == 300 - 20 * accumulate


def test_no_batch_is_asked_for_after_the_stop_is_seen():
    loader = Loader(BATCHES * 100)
    test = lr_range_test(regression, PARAMS, loader, max_lr=1e6)
    assert test.num_finite < 95
    assert loader.given <= test.num_finite + 2 + 8
    assert loader.started == 1


@pytest.mark.parametrize(("room", "most"), [(1, 2), (2**25, 1 + 8)])
def test_no_more_batches_are_held_than_there_is_room_for(room, most, monkeypatch):
    monkeypatch.setattr(loop, "MOST_BYTES", room)
    references = []

    def batches():
        for i in range(40):
            batch = jax.tree.map(jnp.array, BATCHES[i % 3])
            references.append([weakref.ref(array) for array in batch])
            yield batch
            del batch
            alive = [any(ref() is not None for ref in refs) for refs in references]
            assert sum(alive) <= most

    lr_range_test(regression, PARAMS, batches(), num_steps=40, max_lr=0.1)
    assert len(references) == 40


def test_an_iterable_is_asked_for_an_iterator_once_a_pass():
    class Loader:
        iterators = 0

        def __iter__(self):
            self.iterators += 1
            return iter(BATCHES)

    loader = Loader()
    lr_range_test(any_loss, jnp.ones(3), loader, num_steps=30)
    assert loader.iterators == 30 / len(BATCHES)


def test_what_a_loader_raises_comes_through():
    class Loader:
        def __iter__(self):
            raise TypeError("no such shard")

    with pytest.raises(TypeError, match="no such shard"):
        lr_range_test(any_loss, jnp.ones(3), Loader())


def test_what_can_start_again_does():
    loader = Loader(BATCHES)
    same(loader)
    assert loader.started == 7


@pytest.mark.parametrize("length", [7, 19])
def test_too_few_batches_are_counted(length):
    match = rf"20 batches \(num_steps times accumulate\), got {length}, .*again"
    with pytest.raises(ValueError, match=match):
        lr_range_test(
            regression,
            PARAMS,
            itertools.islice(itertools.cycle(BATCHES), length),
            num_steps=10,
            accumulate=2,
            max_lr=0.1,
        )


def test_too_few_batches_do_not_matter_after_the_stop():
    test = lr_range_test(regression, PARAMS, Loader(BATCHES * 100), max_lr=1e6)
    again = lr_range_test(
        regression, PARAMS, iter((BATCHES * 100)[: test.num_finite + 1]), max_lr=1e6
    )
    assert again.num_finite == test.num_finite


def test_an_empty_list_is_no_loader():
    with pytest.raises(ValueError, match="needs batches, got none"):
        lr_range_test(regression, PARAMS, [])


def test_a_last_batch_may_be_smaller():
    """It is compiled for once more; the curve is the one of those batches."""
    batches = [*BATCHES, (X[48:53], Y[48:53])]
    test = lr_range_test(regression, PARAMS, batches, max_lr=0.3, num_steps=20)
    params, losses = PARAMS, []
    for i, lr in enumerate(test.lrs):
        loss, grads = jax.value_and_grad(regression)(params, batches[i % 4])
        params = jax.tree.map(lambda p, g, lr=lr: p - lr * g, params, grads)
        losses.append(loss)
    np.testing.assert_allclose(test.losses, losses, rtol=1e-5)

    def with_aux(params, batch):
        return regression(params, batch), batch[1]

    with pytest.raises(
        TypeError, match=r"aux of one shape and .*got .*\(16,\).*then .*\(5,\)"
    ):
        lr_range_test(with_aux, PARAMS, batches, has_aux=True)


def test_accumulated_batches_weigh_the_same_whatever_their_size():
    batches = [(X[:16], Y[:16]), (X[16:20], Y[16:20])]
    test = lr_range_test(
        regression, PARAMS, batches, accumulate=2, num_steps=2, max_lr=0.1
    )
    expected = np.mean([regression(PARAMS, batch) for batch in batches])
    np.testing.assert_allclose(test.losses[0], expected, rtol=1e-6)


def test_a_loss_may_draw_its_data_from_the_key():
    def drawn(params, batch, key):
        assert batch is None
        return jnp.mean((jax.random.normal(key, (16, 8)) @ params - 1) ** 2)

    key = jax.random.key(0)
    test = lr_range_test(drawn, jnp.ones(8), None, key=key, max_lr=0.1)
    expected = drawn(jnp.ones(8), None, jax.random.fold_in(key, 0))
    np.testing.assert_allclose(test.losses[0], expected, rtol=1e-6)
    assert len(set(test.losses.tolist())) == 100


def any_loss(params, batch):
    """Defined for whatever it is given: what is not refused gives a curve."""
    return jnp.sum(params**2) * sum(jnp.mean(leaf) for leaf in jax.tree.leaves(batch))


ONE = r"cannot be taken for one batch or a data set, got arrays of shapes .*"
WAYS = r"write list.zip.x, y.. if they are batches, x.None. if x is one, and cut a data"


@pytest.mark.parametrize(
    ("batches", "match"),
    [
        (BATCHES[0], ONE + WAYS),
        ((X, Y), ONE + WAYS),
        ({"x": X, "y": np.eye(10)[:1].repeat(640, 0)}, ONE + WAYS),
        ({"inputs": np.ones((32, 64), int), "targets": np.ones((32, 64), int)}, ONE),
        (X[:16], ONE),
        (X, ONE),
        (Y, ONE),
        (tuple(BATCHES), ONE),
        (X.reshape(640, 2, 4), r"no more stacked batches than the 100 .*first 100 if"),
        (np.zeros((500, 64), int), "no more stacked batches than the 100"),
        ([X, Y], r"alike but for their size, got .*\(640, 8\).*\(640,\).*into a tuple"),
        (list(BATCHES[0]), "into a tuple, and the tuples into a list"),
        ([{"x": X}, {"y": X}], r"but for their size, got .*'x'.* and then .*'y'"),
        ([(X, Y), [X, Y]], r"for their size, got .*\(\*, \*\).* and then .*\[\*, \*\]"),
        ([X, X[:, :1]], "alike but for their size"),
        ([(jnp.asarray(X), jnp.ones(()))], r"over examples, got .* at batch\[1\]"),
        ([(X, np.ones(()))], r"over examples, got ndarray at batch\[1\]"),
        (
            zip(X, Y, strict=True),
            r"got float32 at batch\[1\], convert it",
        ),
        ([(np.ones(5), np.ones(2))] * 9, r"got vectors of shapes \[\(5,\), \(2,\)\]"),
    ],
)
def test_what_may_be_one_batch_or_a_data_set_is_refused(batches, match):
    with pytest.raises(ValueError, match=match):
        lr_range_test(any_loss, jnp.ones(3), batches)


@pytest.mark.parametrize(
    "batches",
    [
        jax.tree.map(lambda a: a[None], BATCHES[0]),  # one batch, said to be one
        X[None],
        X.reshape(40, 16, 8),
        np.arange(64).reshape(4, 16),  # rows of indices
        (np.zeros((200, 16, 8)), np.zeros((200, 16))),  # more than the steps take
        list(X),  # each a batch, said to be one
        dict(enumerate(X)).values(),
        jnp.zeros((1, 3)),
    ],
)
def test_what_is_said_clearly_is_taken(batches):
    assert lr_range_test(any_loss, jnp.ones(3), batches).losses.shape == (100,)


@pytest.mark.parametrize(
    ("batches", "match"),
    [
        (lambda: BATCHES, "got batches of type function, call a function to get"),
        (3 + 0j, "one leading axis"),
        ("abc", "got batches of type str"),
        ({"x": iter(X)}, "got batches of type dict, .* as a list of batches"),
        ([{"x": X, "name": "a"}], r"axis over examples, got str at batch\['name'\]"),
        (
            [{"x": np.array(["a"])}],
            r"of numbers, got <U1 at batch\['x'\], leave",
        ),
        ([np.array([None, 1])], "of numbers, got object at batch, leave it out"),
        ([object()], r"got object at batch, convert it or leave it out"),
    ],
)
def test_what_cannot_be_a_batch_is_named(batches, match):
    with pytest.raises((TypeError, ValueError), match=match):
        lr_range_test(any_loss, jnp.ones(3), batches)


@pytest.mark.parametrize("make", [lambda: BATCHES, lambda: iter(BATCHES)])
def test_an_iterable_is_refused_where_it_would_be_traced(make):
    match = "stacked arrays as batches under jit and vmap, .*jax.numpy.stack"
    test = functools.partial(lr_range_test, regression)
    with pytest.raises(TypeError, match=match):
        jax.jit(lambda params: test(params, make()))(PARAMS)
    several = jax.tree.map(lambda a: jnp.stack([a, a]), PARAMS)
    with pytest.raises(TypeError, match=match):
        jax.vmap(lambda params: test(params, make()))(several)
    with pytest.raises(TypeError, match=match):
        jax.vmap(lambda low: test(PARAMS, make(), min_lr=low))(jnp.array([1e-3, 1e-2]))


def test_one_graph_is_told_how_to_be_given():
    """Its arrays count nodes and edges, as those of jraph do."""
    graph = {"nodes": np.ones((5, 3)), "senders": np.arange(8), "n_node": np.array([5])}

    def loss_fn(params, batch):
        sent = (batch["nodes"] @ params)[batch["senders"]]
        return jnp.mean(sent**2)

    match = r"one batch, such as a graph, as jax.tree.map\(lambda a: a\[None\], batch\)"
    with pytest.raises(ValueError, match=match + ".* batches=None"):
        lr_range_test(loss_fn, jnp.ones(3), graph)
    single = jax.tree.map(lambda a: a[None], graph)
    one = lr_range_test(loss_fn, jnp.ones(3), single)
    closed = lr_range_test(
        lambda params, _: loss_fn(params, jax.tree.map(jnp.asarray, graph)),
        jnp.ones(3),
        None,
    )
    np.testing.assert_allclose(closed.losses, one.losses, rtol=1e-5)
