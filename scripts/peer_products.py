"""SciPy's and PyTorch's products of a sparse matrix with a dense one, and how other programs' calls are timed: shared by scripts."""

import statistics
import time
import warnings

import numpy as np
import scipy
import torch

TORCH = "PyTorch " + torch.__version__.split("+")[0]
SCIPY_CSR, TORCH_CSR = f"SciPy {scipy.__version__} CSR", f"{TORCH} CSR"
# PyTorch calls its CSR support a beta.
warnings.filterwarnings("ignore", message="Sparse")


def sparse_products(matrix, operand):
    """Calls that return `matrix @ operand` as arrays of NumPy, and of PyTorch as its own: float32, indices of 32 bits.

    SciPy uses one thread by design, PyTorch as many as it was told to."""
    matrix = matrix.tocsr().astype(np.float32)
    matrix.indices, matrix.indptr = matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32)
    parts = (torch.from_numpy(part.copy()) for part in (matrix.indptr, matrix.indices, matrix.data))
    sparse, columns = torch.sparse_csr_tensor(*parts, size=matrix.shape), torch.from_numpy(operand)
    return lambda: matrix @ operand, lambda: sparse @ columns


def in_turns(calls, seconds, fewest):
    """Seconds of every call, all taking turns after a warm-up: so many for each on average, and so many calls at least."""
    times, spent = [[] for _ in calls], 0.0
    for call in calls:
        call()
    while spent < seconds * len(calls) or len(times[0]) < fewest:
        for call, own in zip(calls, times):
            start = time.perf_counter()
            call()
            own.append(time.perf_counter() - start)
            spent += own[-1]
    return times


def spread(rounds):
    """What `convmat bench` states of the times of several rounds, by its own names of columns."""
    quartiles = [statistics.quantiles(times, n=4, method="inclusive") for times in rounds]
    lowers, medians, uppers = zip(*quartiles)
    return {
        "run_seconds": statistics.median(medians),
        "run_low": min(lowers),
        "run_high": max(uppers),
        "run_least": min(map(min, rounds)),
        "runs": sum(map(len, rounds)),
        "rounds": len(rounds),
    }
