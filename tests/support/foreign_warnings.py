"""Warnings of foreign packages that are not ours to fix."""

from __future__ import annotations

FOREIGN_WARNINGS = (
    # TensorFlow's converter calls its own interpreter, which it announces to move to LiteRT.
    r"ignore:\s*Warning. tf.lite.Interpreter is deprecated:UserWarning",
    # protobuf, absl and the converter's bindings, seen with TensorFlow 2.21 on Python 3.11 to 3.13.
    "ignore:.*Swig.*:DeprecationWarning",
    "ignore:.*google._upb.*:DeprecationWarning",
    "ignore:.*ml_dtypes.*:DeprecationWarning",
    # Keras 3.15 converts arrays by a NumPy call that NumPy 2.x deprecates.
    "ignore:.*__array__.*copy.*:DeprecationWarning",
    "ignore:.*np.object.*:FutureWarning",
    # gast and astunparse, inside AutoGraph.
    "ignore:.*ast\\..*:DeprecationWarning",
    # Said of each pipeline of tf.data, which is a graph all the same.
    "ignore:Even though the .tf.config.experimental_run_functions_eagerly.*:UserWarning",
)
