"""Arrays from a bundle's `.npz` file, whose sizes are bounded before a byte of them is unpacked."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from inspector.errors import BundleError

MAX_ARRAY_BYTES = 128 << 20
"""Of all arrays of a file together, unpacked; the shipped ones have 1 MB."""


def read_arrays(path: Path, kinds: Mapping[str, type[np.generic]]) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of those names and kinds from an `.npz` file; others in it are not read.

    Raises:
        BundleError: The file cannot be read, an array is missing, of another kind or too large; the text names it.
    """
    try:
        with path.open("rb") as file:
            _refuse_large(file, kinds)
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in kinds}
    # What NumPy raises for an empty file, a file that is no archive, a single array, and a damaged member.
    except (
        OSError, ValueError, LookupError, TypeError, EOFError, ArithmeticError, MemoryError, RuntimeError,
        SyntaxError, zipfile.BadZipFile, zlib.error,
    ) as exc:  # fmt: skip
        raise BundleError(f"{path}: needs the arrays {', '.join(kinds)}: {exc}") from exc
    for name, kind in kinds.items():
        if not np.issubdtype(arrays[name].dtype, kind):
            raise BundleError(f"{path}: {name} must be {kind.__name__}: {arrays[name].dtype}")
    return arrays


def array_names(path: Path) -> frozenset[str]:
    """Return the names of a file's arrays.

    Raises:
        BundleError: It is no archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return frozenset(name.removesuffix(".npy") for name in archive.namelist())
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile) as exc:
        raise BundleError(f"{path}: needs arrays: {exc}") from exc


def _refuse_large(file: Any, kinds: Mapping[str, type[np.generic]]) -> None:
    """Refuse arrays whose headers ask for more than is allowed, or for more than their member holds."""
    total = 0
    with zipfile.ZipFile(file) as archive:
        for name in kinds:
            member = archive.getinfo(f"{name}.npy")
            with archive.open(member) as data:
                version = np.lib.format.read_magic(data)
                if version not in ((1, 0), (2, 0)):
                    raise ValueError(f"{name}: format {version} of an array is not known")
                header = np.lib.format.read_array_header_1_0 if version == (1, 0) else _header_2
                shape, _, dtype = header(data)
            size = math.prod(shape) * dtype.itemsize
            total += size
            if total > MAX_ARRAY_BYTES:
                raise ValueError(f"{name}: the arrays have more than {MAX_ARRAY_BYTES} bytes")
            if size > member.file_size:
                raise ValueError(f"{name}: its header asks for {size} bytes, the file holds {member.file_size}")


_header_2 = np.lib.format.read_array_header_2_0
