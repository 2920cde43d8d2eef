"""inspector: real-time surface inspection for production lines.

Follow one frame through the package: `sources` → `frame` → `inspection` (on the network of `model`) → `track` →
`messages` → `store` → `sinks`. `station` alone knows all the parts.
"""

__version__ = "0.1.0"
