"""A strip as it was asked for: ground, defects, marks, edges, faults and speed, with the truth beside it."""
