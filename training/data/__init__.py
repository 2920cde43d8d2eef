"""A data set: its pictures, what overlaps, what was learned from or reviewed, and the manifest of it all."""
