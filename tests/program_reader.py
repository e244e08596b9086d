"""Read a compiled program: its kernels, its passes over arrays and what it sends.

One reader for every backend: it knows the text of XLA's optimised programs, for a CPU, a
GPU and a TPU.
"""

import math
import re
from typing import NamedTuple

COLLECTIVES = (
    "all-gather",
    "all-reduce",
    "all-to-all",
    "collective-permute",
    "reduce-scatter",
)
# What moves no array: names, places and the ends of what began earlier.
_FREE = {
    "after-all",
    "bitcast",
    "constant",
    "copy-done",
    "get-tuple-element",
    "opt-barrier",
    "optimization-barrier",
    "parameter",
    "partition-id",
    "replica-id",
    "tuple",
}
_COPIES = {"copy", "copy-start"}
_BITS = {"pred": 8, "bf16": 16, "c64": 64, "c128": 128}  # others say it: f32, s8, u16


class Array(NamedTuple):
    """The type of an array in a program."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self):
        return math.prod(self.shape)

    @property
    def nbytes(self):
        bits = _BITS.get(self.dtype) or int(re.search(r"\d+", self.dtype)[0])
        return self.size * bits // 8


class Operation(NamedTuple):
    """One line of a program."""

    kind: str
    results: tuple[Array, ...]
    operands: tuple[Array, ...]

    def touches(self, size):
        """Whether it reads or writes an array of at least so many entries."""
        return any(array.size >= size for array in self.results + self.operands)


class Program:
    """A compiled program; ``entry`` and ``loop`` are lists of its operations.

    ``loop`` is the innermost loop with the most kernels.
    """

    def __init__(self, compiled):
        text = re.sub(r"/\*.*?\*/", "", compiled.as_text())
        self._bodies = {
            name: body.splitlines()
            for name, body in re.findall(
                r"^(?:ENTRY )?%?([\w.\-]+) \([^\n]*\{\n(.*?)\n\}", text, re.M | re.DOTALL
            )
        }
        entry = re.search(r"^ENTRY %?([\w.\-]+)", text, re.M)[1]
        self.entry = self._operations(entry)
        inner = [
            operations
            for name in set(re.findall(r"body=%?([\w.\-]+)", text))
            for operations in [self._operations(name)]
            if not any(operation.kind == "while" for operation in operations)
        ]
        self.loop = max(
            inner, key=lambda operations: len(kernels(operations)), default=[]
        )
        everything = [self._operations(name, follow=False) for name in self._bodies]
        self.collectives = [
            operation
            for operations in everything
            for operation in operations
            if operation.kind.removesuffix("-start") in COLLECTIVES
        ]
        self.temporaries = compiled.memory_analysis().temp_size_in_bytes

    def _operations(self, name, follow=True):
        """Those of a computation, in order; a call is what it calls."""
        found, types = [], {}
        for line in self._bodies[name]:
            parts = re.match(
                r"\s*(?:ROOT )?%?([\w.\-]+) = (.*?) ([a-z][\w\-]*)\(([^)]*)", line
            )
            if not parts:
                continue
            label, results, kind, operands = parts.groups()
            types[label] = _arrays(results)
            if kind == "call" and follow:
                found += self._operations(re.search(r"to_apply=%?([\w.\-]+)", line)[1])
            elif kind not in _FREE and "AllocateBuffer" not in line:
                read = re.findall(r"%([\w.\-]+)", operands)
                arrays = [array for other in read for array in types.get(other, ())]
                found.append(Operation(kind, types[label], tuple(arrays)))
        return found


def _arrays(text):
    return tuple(
        Array(dtype, tuple(int(n) for n in shape.split(",") if n))
        for dtype, shape in re.findall(r"(\w+)\[([\d,]*)\]", text)
    )


def kernels(operations):
    """What an accelerator launches; a ``copy-start`` fetches beside that, and is none."""
    kinds = {"fusion", "custom-call", "copy"}
    return [operation for operation in operations if operation.kind in kinds]


def passes(operations, size):
    """What reads or writes an array of at least ``size`` entries, copies included."""
    return [operation for operation in operations if operation.touches(size)]


def copies(operations, size):
    """What copies such an array and does nothing else."""
    return [op for op in passes(operations, size) if op.kind in _COPIES]


def moved_bytes(operations, size):
    """The bytes of such arrays that the operations read and write."""
    return sum(
        array.nbytes
        for operation in operations
        for array in operation.results + operation.operands
        if array.size >= size
    )


def sent_bytes(collectives):
    """The bytes of what these operations leave on a device."""
    return sum(array.nbytes for op in collectives for array in op.results)
