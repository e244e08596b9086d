"""How the gallery runs an example: as a script in a process of its own, nearly."""

import pathlib
import tempfile

import absl.logging
import jax
from jax.extend.backend import clear_backends

absl.logging.set_verbosity("warning")  # Orbax reports every file
_PICTURES = pathlib.Path(tempfile.mkdtemp())


def arguments(gallery_conf, script_vars):
    """Where an example writes its picture, it does so outside of the examples."""
    script = pathlib.Path(script_vars["src_file"])
    writes = '"--out", type=Path' in script.read_text()
    return ["--out", str(_PICTURES / f"{script.stem}.png")] if writes else []


def fresh_jax(gallery_conf, script):
    """As at the start of a process: one CPU device, 32 bits, nothing compiled."""
    jax.clear_caches()
    clear_backends()
    jax.config.update("jax_num_cpu_devices", 1)
    jax.config.update("jax_enable_x64", False)
