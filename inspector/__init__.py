"""inspector: real-time surface inspection for production lines.

Follow one frame through the package: `sources` → `frame` → `queues` → `tiling` → `preprocess` → `classifier` →
`decision` → `inspection` → `track` → `messages` → `store` → `sinks`. `daemon` alone knows all the parts.
"""

__version__ = "0.1.0"
