"""Small arrays as one vector, and scalars as one array: nothing is lost on the way."""

import jax
import jax.numpy as jnp
import numpy as np

from optax_rprop._fit._joining import LONGEST, joined
from optax_rprop._fit._packing import in_one_kernel, layout_of, pack, unpack

FLOATS = [0.0, -0.0, 1e-45, -3.4e38, np.inf, np.nan, 16777217.0]


def test_scalars_keep_their_bits():
    tree = {
        "floats": [jnp.float32(x) for x in FLOATS],
        "counts": [jnp.int32(x) for x in (0, -1, 2**31 - 1)],
        "flags": [jnp.array(True), jnp.array(False)],
        "wide": jnp.asarray(np.pi, float),
        "array": jnp.arange(3, dtype="float32"),
        "nothing": None,
    }
    layout = layout_of(tree)

    def packed(tree):
        return pack(tree, layout)

    def there_and_back(tree):
        return unpack(packed(tree))

    read = jax.tree.map(np.asarray, jax.jit(packed)(tree))
    for back in (there_and_back(tree), jax.jit(there_and_back)(tree), unpack(read)):
        assert jax.tree.structure(back) == jax.tree.structure(tree)
        for a, b in zip(jax.tree.leaves(tree), jax.tree.leaves(back), strict=True):
            assert a.dtype == b.dtype
            assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def test_one_kernel_returns_what_the_function_does():
    def function(x, y):
        return x + y, x > y

    def whole(x, y):
        return in_one_kernel(function, x >= 0, x, y)

    x, y = jnp.float32(3), jnp.arange(4, dtype="float32")
    for one in (jax.jit(whole), lambda x, y: jax.vmap(whole, (None, 0))(x, y)):
        np.testing.assert_array_equal(one(x, y)[0], x + y)
        np.testing.assert_array_equal(one(x, y)[1], x > y)


def test_small_leaves_of_one_kind_are_joined():
    def leaf(shape, *dtypes):
        return tuple(jnp.ones(shape, dtype) for dtype in dtypes)

    leaves = [
        leaf((2, 3), "float32", "int8"),
        leaf((), "float32", "int8"),
        leaf((4,), "float16", "int8"),
        leaf((LONGEST - 6,), "float32", "int8"),
        leaf((5,), "float32", "int8"),
    ]
    shapes = {
        tuple(x.shape for x in arrays): is_joined for arrays, is_joined in joined(leaves)
    }
    assert shapes == {
        ((12,), (12,)): True,
        ((4,), (4,)): False,  # another dtype
        ((LONGEST - 6,), (LONGEST - 6,)): False,  # with the others, too long
    }
