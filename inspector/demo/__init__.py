"""The whole chain on a drawn strip, counted against what was drawn."""
