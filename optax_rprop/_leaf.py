"""The arrays of one leaf: real coordinates, their signs, and selections among them.

A complex leaf has two independent coordinates per entry: its real and imaginary part.
In a tree of coordinates, such as a state, it is two arrays of its own shape. So its
sharding fits them, and XLA can fuse: it does not where arrays differ in shape.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

finfo: Any = jnp.finfo  # it knows bfloat16, which NumPy's does not


class Parts(NamedTuple):
    """What stands for a complex leaf in a tree of coordinates."""

    real: Any
    imag: Any


def is_parts(node: Any) -> bool:
    return isinstance(node, Parts)


def for_each_part(leaf: Any, make: Callable[[], Any]) -> Any:
    """What ``make`` returns, for a leaf; two of it for a complex one."""
    return Parts(make(), make()) if jnp.iscomplexobj(leaf) else make()


def split(tree: Any) -> Any:
    """The coordinates of a tree of arrays."""

    def of_leaf(leaf: Any) -> Any:
        return Parts(leaf.real, leaf.imag) if jnp.iscomplexobj(leaf) else leaf

    return jax.tree.map(of_leaf, tree)


def merged(tree: Any) -> Any:
    """The tree of these coordinates; the inverse of ``split``."""

    def of_node(node: Any) -> Any:
        return jax.lax.complex(*node) if is_parts(node) else node

    return jax.tree.map(of_node, tree, is_leaf=is_parts)


def real_where(tree: Any, like: Any) -> Any:
    """The tree, the real parts of a leaf where ``like`` is real.

    ``optax.flatten`` makes all of its leaves complex where one is.
    """

    def of_leaf(leaf: Any, other: Any) -> Any:
        is_real = jnp.iscomplexobj(leaf) and not jnp.iscomplexobj(other)
        return leaf.real if is_real else leaf

    return jax.tree.map(of_leaf, tree, like)


def as_dtype(x: jax.Array, dtype: Any) -> jax.Array:
    """``x`` in a real dtype; a number above its range becomes its largest."""
    if finfo(dtype).max < finfo(x.dtype).max:  # float16, of a step above 65,504
        largest = np.asarray(finfo(dtype).max, x.dtype)
        x = jnp.clip(x, -largest, largest)
    return x.astype(dtype)


def coordinates_like(params: Any, fill_value: Any, dtype_of: Callable[[Any], Any]) -> Any:
    """A tree with ``fill_value`` for every coordinate, sharded like the parameters."""

    def filled(param: Any) -> jax.Array:
        array = jnp.full_like(param, fill_value, dtype_of(jnp.result_type(param)))
        # full_like may return it; leaves must not share it
        return jnp.copy(array) if array is fill_value else array

    return jax.tree.map(lambda p: for_each_part(p, lambda: filled(p)), params)


def sizes_like(param: Any, size: Any, dtype_of: Callable[[Any], Any]) -> Any:
    """``size``, a number or an array, for every coordinate of a leaf, sharded like it."""

    def of_part(zeros: jax.Array) -> jax.Array:
        return zeros + jnp.broadcast_to(jnp.asarray(size, zeros.dtype), zeros.shape)

    # Added to zeros, so that it is sharded like the parameter.
    return jax.tree.map(of_part, coordinates_like(param, 0, dtype_of))


def is_abstract(tree: Any) -> bool:
    """Whether there are shapes in the place of arrays."""
    return any(isinstance(x, jax.ShapeDtypeStruct) for x in jax.tree.leaves(tree))


def scalar_like(tree: Any, value: Any, dtype: Any) -> jax.Array:
    """The scalar ``value``, with the type that one computed from ``tree`` would have.

    Inside ``jax.shard_map`` that type says along which mesh axes a value differs, and a
    loop must not change it.
    """
    scalar = jnp.full((), value, dtype)
    for leaf in jax.tree.leaves(tree):
        if varying_axes(leaf):
            scalar = scalar + jnp.zeros_like(leaf, dtype=dtype, shape=())
    return scalar


def varying_like(tree: Any, leaves: Any) -> Any:
    """``leaves``, of the types that they have once a scalar from ``tree`` chose them."""
    if not any(map(varying_axes, jax.tree.leaves(tree))):
        return leaves
    return jax.tree.map(lambda x: x + scalar_like(tree, 0, x.dtype), leaves)


def varying_axes(leaf: Any) -> Any:
    """The mesh axes along which a leaf differs inside ``jax.shard_map``."""
    aval = getattr(leaf, "aval", leaf)
    manual = getattr(aval, "manual_axis_type", None)  # since jax 0.10; before it, vma
    return getattr(aval, "vma", None) if manual is None else manual.varying


def is_on_an_axis(array: Any) -> bool:
    """Whether the type of an array says that it is split over an explicit mesh axis."""
    return any(part is not None for part in jax.typeof(array).sharding.spec)


def step_size_dtype(param_dtype: Any) -> Any:
    """Float32, or the real dtype of the parameter where that is wider."""
    real = finfo(param_dtype).dtype
    return real if real.itemsize > 4 else np.dtype("float32")


def common_dtype(dtypes: Iterable[Any]) -> Any:
    """The dtype that holds all of these; NumPy knows none of float16 and bfloat16."""
    found = set(dtypes)
    if {np.dtype("float16"), np.dtype(jnp.bfloat16)} <= found:
        found.add(np.dtype("float32"))
    return functools.reduce(np.promote_types, sorted(found, key=lambda d: -d.itemsize))


def wide_dtype(leaf: Any) -> Any:
    """The dtype of the leaf, in single precision at least."""
    return np.promote_types(jnp.result_type(leaf), np.float32)


def widened(leaf: Any) -> Any:
    """The leaf in single precision at least."""
    dtype = wide_dtype(leaf)
    if jnp.result_type(leaf) == dtype:
        return leaf
    if isinstance(leaf, jax.ShapeDtypeStruct):
        return leaf.update(dtype=dtype)  # type: ignore[no-untyped-call]
    return jnp.asarray(leaf, dtype)


def above_and_below_zero(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Where ``x`` has the sign 1, and where -1. NaN has neither."""
    zero = jnp.zeros_like(x)
    return x > zero, x < zero


def sign_of(x: jax.Array) -> jax.Array:
    """1, -1 or 0, int8."""
    # jnp.sign returns NaN for NaN, which no integer can hold.
    above, below = above_and_below_zero(x)
    return above.astype(np.int8) - below.astype(np.int8)


def select(condition: jax.Array, this: Any, that: Any) -> jax.Array:
    """``this`` where ``condition`` holds, else ``that``, of one dtype; scalars broadcast.

    It compiles to a single operation. ``jnp.where`` becomes a function call in the
    program, which makes up a tenth of the compile time of a model of many small leaves.
    """
    arrays = [x for x in (this, that, condition) if np.ndim(x)]
    if not arrays:
        return jnp.where(condition, this, that)

    def full(x: Any) -> jax.Array:
        # Made from an array, so that it is sharded like that array.
        return x if np.ndim(x) else jax.lax.full_like(arrays[0], x, jnp.result_type(x))

    return jax.lax.select(condition, full(this), full(that))


def select_tree(condition: jax.Array, this: Any, that: Any) -> Any:
    """``this`` if the scalar ``condition`` holds, else ``that``, leaf by leaf."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), this, that)
