"""The array types that several rooms share."""

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
"""Class indices, sample numbers, positions."""

Pixels = npt.NDArray[np.uint8]
"""RGB, 0 to 255: [H, W, 3] for an image, [B, H, W, 3] for a batch."""
