"""The teach-in: a lesson of good surface, the reference fitted to it, what stands behind it, and its files."""
