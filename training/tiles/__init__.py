"""Tiles to learn from and to measure on: whole pictures, composed, drawn, spoilt, and those from elsewhere."""
