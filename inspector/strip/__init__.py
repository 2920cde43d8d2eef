"""Where on which coil: scale, metres from the head, edges, what repeats, its record; as pure as `inspection`."""
