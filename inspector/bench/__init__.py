"""What a machine can do: the way of a tile, and a whole station under load, beside the bare interpreter."""
