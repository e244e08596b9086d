"""One update, applied, on one chip: one pass over every array, and the least bytes."""

import jax
import jax.numpy as jnp
import optax
import pytest
from helpers import PLAIN, each_of, name_of
from program_reader import Program, copies, kernels, moved_bytes, passes
from programs import in_loop, shape, step_of

N = 2**23  # a whole number of a TPU's tiles
# A TPU fetches some arrays of complex parameters aside, where they fit into its 128 MiB.
N_COMPLEX = 2**27
SCALARS = 2**15  # bytes; a TPU reads a scalar as a tile of 512
BUFFERS = 2**18  # bytes; a TPU's loop has some of this size, whatever that of the arrays
BYTES = {"float32": 4, "bfloat16": 2, "complex64": 8}


def of_state(make, dtype):
    """Bytes of state a parameter; two real coordinates make a complex one."""
    size = 1 if "8bit" in name_of(make) else 5
    return 2 * size if dtype == "complex64" else size


def least(dtype, state):
    """Parameter and state in and out, gradient in."""
    return 3 * BYTES[dtype] + 2 * state


def arguments(tx, dtype, with_value, size=N):
    params = shape((size,), dtype)
    value = {"value": shape((), jnp.float32)} if with_value else {}
    return (params, jax.eval_shape(tx.init, params), params), value


def read(compiled, program, operations, size=N):
    """A row of what a program says of one update."""
    cost = compiled.cost_analysis() or {}
    seconds = cost.get("optimal_seconds", 0)
    arrays = passes(operations, size)
    return {
        "passes": len(arrays),
        "copies": len(copies(operations, size)),
        "scalar kernels": len(kernels(operations)) - len(kernels(arrays)),
        "bytes": cost.get("bytes accessed", moved_bytes(operations, size)) / size,
        "temporaries": program.temporaries / size,
        # There is no estimate for a GPU, nor for a program with a loop.
        "estimate, ms for 1e9": 1000 * seconds * 1e9 / size if seconds > 0 else None,
    }


each_way = pytest.mark.parametrize("with_value", [False, True], ids=["", "value"])
each_real = pytest.mark.parametrize("dtype", ["float32", "bfloat16"])


def skip_if_it_needs_a_loss(make, with_value):
    if "irprop+" in name_of(make) and not with_value:
        pytest.skip("the rule needs the loss")


@each_of(PLAIN)
@each_real
@each_way
def test_one_pass_and_the_least_bytes(make, dtype, with_value, target, compiler, record):
    skip_if_it_needs_a_loss(make, with_value)
    args, value = arguments(make(), dtype, with_value)
    compiled = compiler(step_of(make()), *args, donate=(0, 1), **value)
    program = Program(compiled)
    row = read(compiled, program, program.entry)
    record("update", dtype=dtype, optimizer=name_of(make), value=with_value, **row)
    assert row["passes"] == 1
    assert row["copies"] == 0
    assert program.temporaries < SCALARS
    excess = N * (row["bytes"] - least(dtype, of_state(make, dtype)))
    assert excess == 0 if target.is_gpu else 0 <= excess < SCALARS
    if target.is_gpu:  # the 8-bit form's highest level, and two of the loss
        of_loss = with_value + ("irprop+" in name_of(make))
        assert row["scalar kernels"] == ("8bit" in name_of(make)) + of_loss


@each_of(PLAIN)
@each_real
@each_way
def test_in_a_loop_too(make, dtype, with_value, compiler, record):
    skip_if_it_needs_a_loss(make, with_value)
    args, _ = arguments(make(), dtype, with_value)
    given = {"value": shape((2,), jnp.float32)} if with_value else {}
    step = in_loop(step_of(make()))
    compiled = compiler(step, *args, donate=(0, 1), **given)
    program = Program(compiled)
    row = {
        "passes": len(passes(program.loop, N)),
        "copies": len(copies(program.loop, N)),
        "scalar kernels": len(kernels(program.loop)) - len(passes(program.loop, N)),
        "temporaries": program.temporaries / N,
    }
    record("loop", dtype=dtype, optimizer=name_of(make), value=with_value, **row)
    assert row["passes"] == 1
    assert row["copies"] == 0
    assert program.temporaries < BUFFERS < N


@pytest.mark.parametrize("name", [*PLAIN, "optax.sgd"])
@each_way
@pytest.mark.parametrize("looped", [False, True], ids=["", "loop"])
def test_complex_parameters(name, with_value, looped, target, compiler, record):
    """The same; a TPU has one pass for the real parts and one for the imaginary ones.

    It takes complex arrays apart first and puts them together last, for any optimizer.
    """
    if name == "optax.sgd":
        state, tx = 0, optax.sgd(1e-3)
    else:
        skip_if_it_needs_a_loss(PLAIN[name], with_value)
        state, tx = of_state(PLAIN[name], "complex64"), PLAIN[name]()
    with jax.numpy_dtype_promotion("standard"):  # as optax needs it
        args, value = arguments(tx, "complex64", with_value, N_COMPLEX)
        step = step_of(tx)
        if looped:
            step = in_loop(step)
            value = {name: shape((2,), x.dtype) for name, x in value.items()}
        compiled = compiler(step, *args, donate=(0, 1), **value)
    program = Program(compiled)
    operations = program.loop if looped else program.entry
    row = read(compiled, program, operations, N_COMPLEX)
    record("complex", optimizer=name, value=with_value, loop=looped, **row)
    fusions = [op for op in passes(operations, N_COMPLEX) if op.kind == "fusion"]
    assert len(fusions) <= (1 if target.is_gpu else 2)
    assert row["copies"] == 0
    excess = N_COMPLEX * (row["bytes"] - least("complex64", state))
    assert excess == 0 if target.is_gpu else 0 <= excess < BUFFERS
    if target.is_gpu:
        assert program.temporaries < SCALARS
    else:  # the parts of parameters and gradient
        assert row["temporaries"] <= 12.01


@each_real
@pytest.mark.parametrize(
    ("name", "state"),
    [("optax.adam", 2), ("optax.sgd", 0), ("optax.rprop", 2)],
)
def test_others(name, state, dtype, compiler, record):
    """They are fused as well: what tells them apart is their state."""
    tx = getattr(optax, name.removeprefix("optax."))(1e-3)
    with jax.numpy_dtype_promotion("standard"):  # as optax needs it
        args, _ = arguments(tx, dtype, with_value=False)
        compiled = compiler(step_of(tx), *args, donate=(0, 1))
    program = Program(compiled)
    row = read(compiled, program, program.entry)
    record("others", dtype=dtype, optimizer=name, **row)
    assert row["passes"] == 1
    assert row["copies"] == 0
    # The state is like the parameters; optax.rprop's has a step size and a gradient.
    excess = N * (row["bytes"] - BYTES[dtype] * (3 + 2 * state))
    assert 0 <= excess < SCALARS


def test_many_small_arrays(compiler, record):
    """One kernel each, and some for the loss."""
    params = [shape((2 + i,), jnp.float32) for i in range(300)]
    tx = PLAIN["irprop-"]()
    state, value = jax.eval_shape(tx.init, params), shape((), jnp.float32)
    compiled = compiler(step_of(tx), params, state, params, donate=(0, 1), value=value)
    count = len(kernels(Program(compiled).entry))
    record("300 arrays", optimizer="irprop-", kernels=count)
    assert 300 <= count <= 302
