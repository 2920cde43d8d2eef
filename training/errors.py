"""What training refuses, below `inspector.errors.InspectorError`.

::

    InspectorError
    ├── DataError        exit 78: a picture, annotation, label or split is not as it must be; names the file
    ├── RecipeError      exit 78: a configuration file, or a run of another configuration
    ├── WeightsError     exit 78: a weights file that does not fit the network
    ├── GateError        exit 1: the int8 network is not the float network; nothing is shipped
    ├── FoldError        exit 1: the process of a fold did not come to its end
    └── ClusterError     exit 1: no cluster, another version of this code on it, or a machine that dies again and again
"""

from __future__ import annotations

from inspector.errors import InspectorError, RefusedError


class DataError(RefusedError):
    """A picture, annotation, label or split is not as it must be."""


class RecipeError(RefusedError):
    """A configuration file is wrong, or a run folder belongs to another configuration."""


class WeightsError(RefusedError):
    """A weights file is missing, damaged or of another network."""


class GateError(InspectorError):
    """The int8 network differs from the float network by more than the parity gate allows."""


class FoldError(InspectorError):
    """The process of a cross-validation's fold was killed: for memory, as a rule."""


class ClusterError(InspectorError):
    """A cluster is not there, not of this version, or loses what it is given."""


def say_missing(missing: ModuleNotFoundError) -> str:
    """Return the sentence for a package of the `training` requirements that is not installed.

    Raises:
        ModuleNotFoundError: It is a module of our own.
    """
    if str(missing.name).partition(".")[0] in ("inspector", "training"):
        raise missing
    return f"training needs more packages: pip install '.[training]' in the repository; not there: {missing.name}"
