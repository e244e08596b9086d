"""What the API page says: types as they are written, and the advice of every status."""

import inspect
import re

from sphinx.util.inspect import stringify_signature

from optax_rprop import FitStatus

# Aliases of the package's own, which have no entry to link to.
ALIASES = {
    "LearningRate": 'jax.typing.ArrayLike | optax.Params | Literal["relative"]',
    "Bound": "jax.typing.ArrayLike | optax.Params | None",
    "Variant": "str",
    "Report": "collections.abc.Callable[[optax_rprop.StepRecord], Any]",
}
# Names that a module imports, and where they have an entry.
NAMES = {
    "Callable": "collections.abc.Callable",
    "Iterable": "collections.abc.Iterable",
    "np.ndarray": "numpy.ndarray",
    "Literal": "typing.Literal",
    **{
        name: f"optax_rprop.{name}"
        for name in ("FitHistory", "FitResult", "FitState", "FitStatus", "StepRecord")
    },
}


def _as_written(annotation):
    """A string, since the modules import ``annotations``; nothing where it is none."""
    if not isinstance(annotation, str):
        return inspect.Parameter.empty
    for name, meant in (ALIASES | NAMES).items():
        annotation = re.sub(rf"(?<![\w.]){name}\b", meant, annotation)
    return annotation


def _signature(app, what, name, obj, options, signature, returns):
    if what == "class" and issubclass(obj, tuple | FitStatus):
        return "", ""  # nobody makes one by hand
    if what not in ("class", "function", "method"):
        return None
    plain = inspect.signature(obj)
    parameters = [
        parameter.replace(annotation=_as_written(parameter.annotation))
        for parameter in plain.parameters.values()
        # `**unknown` is there for the message that an unknown keyword meets.
        if parameter.name not in ("self", "unknown")
    ]
    returned = _as_written(plain.return_annotation)
    plain = plain.replace(parameters=parameters, return_annotation=plain.empty)
    return stringify_signature(plain), None if returned is plain.empty else returned


def _docstring(app, what, name, obj, options, lines):
    if obj is FitStatus:
        for status in FitStatus:
            lines += [f".. attribute:: {status.name}", f"   :value: {int(status)}", ""]
            lines += [f"   {status.advice}", ""]
    lines[:] = [line for line in lines if not line.startswith(":param \\*\\*unknown:")]


def setup(app):
    """Called by Sphinx."""
    app.setup_extension("sphinx.ext.napoleon")
    app.connect("autodoc-process-signature", _signature)
    app.connect("autodoc-process-docstring", _docstring)
    return {"parallel_read_safe": True}
