"""The array types that several rooms share."""

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
"""Class indices, sample numbers, positions."""

FloatArray = npt.NDArray[np.float64]
"""Scores."""
