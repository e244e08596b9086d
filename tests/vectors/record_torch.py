"""Record what torch.optim.Rprop does in torch.json; needs torch.

``python tests/vectors/record_torch.py [directory]``. The file names the torch it was
recorded from.
"""

import numpy as np
from make import DEFAULTS, SIGNS, TIGHT, case, gradients, output_directory, plain, to_json

try:
    import torch
except ImportError as error:
    raise SystemExit("record_torch.py needs torch: pip install torch") from error

# Torch multiplies two gradients to compare their signs: here no product underflows.
MAGNITUDES = (1.0, 2.0**-50, 0.5, 2.0**40, 3.0, 2.0**-60, 2.0**50)
PARAMETERS = (0.0, 1.0, -1.0, 1000.0, 1 / 3, -1e-3)
FACTORS = DEFAULTS | {"learning_rate": 0.3, "eta_minus": 0.7, "eta_plus": 1.05}
CASES = (("defaults", DEFAULTS), ("tight bounds", TIGHT), ("other factors", FACTORS))


def steps(dtype, start, hyper):
    """The parameters, step sizes and signs of torch after every step."""
    # From NumPy, so that no thread of torch's starts for six numbers.
    params = torch.from_numpy(start.copy())
    optimizer = torch.optim.Rprop(
        [params],
        lr=hyper["learning_rate"],
        etas=(hyper["eta_minus"], hyper["eta_plus"]),
        step_sizes=(hyper["min_step_size"], hyper["max_step_size"]),
    )
    for gradient in gradients(SIGNS, dtype, MAGNITUDES):
        params.grad = torch.from_numpy(gradient)
        optimizer.step()
        state = optimizer.state[params]
        yield {
            "gradient": list(map(plain, gradient)),
            "loss": None,
            "parameter": list(map(plain, params.tolist())),
            "step_size": list(map(plain, state["step_size"].tolist())),
            # The gradient it remembers, 0 after a change of sign, stands for its sign.
            "sign": state["prev"].sign().to(torch.int8).tolist(),
        }


if __name__ == "__main__":
    cases = []
    for name, hyper in CASES:
        for dtype in ("float32", "float64"):
            start = np.array(PARAMETERS, dtype)
            head = case(name, dtype, hyper, parameter=list(map(plain, start)))
            cases.append((head, steps(dtype, start, hyper)))
    source = f"torch.optim.Rprop of torch {torch.__version__}"
    text = to_json({"format": 1, "rule": "irprop-", "source": source}, cases)
    (output_directory() / "torch.json").write_text(text, newline="\n")
