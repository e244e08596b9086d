"""The kernels of one step of a fit, beside those of a bare loop of the same optimizer.

A GPU takes some microseconds to launch a kernel, so a small fit is as fast as it has few.
What only a refresh of the bases does is in a conditional of its own, and not counted.
"""

import pytest
from program_reader import Program, kernels
from programs import bare_loop, fitted, network

from optax_rprop import in_eigenbasis, rprop, rprop_8bit

NETWORKS = {2: (32, 8), 4: (32, 32, 8), 16: (32, *[32] * 7, 8)}  # by number of arrays
OPTIMIZERS = {
    "rprop": rprop,
    "rprop_8bit": rprop_8bit,
    "in_eigenbasis": lambda: in_eigenbasis(rprop()),
}


@pytest.mark.parametrize("arrays", NETWORKS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_kernels_of_a_step(arrays, optimizer, target, compiler, record):
    loss, params, data = network(NETWORKS[arrays], rows=256)
    tx = OPTIMIZERS[optimizer]()
    bare, whole = (
        len(kernels(Program(compiler(make(loss, tx), params, *data)).loop))
        for make in (bare_loop, fitted)
    )
    record("kernels", optimizer=optimizer, arrays=arrays, bare=bare, fit=whole)
    print(bare, whole)
