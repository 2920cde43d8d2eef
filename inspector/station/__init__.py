"""One station: its parts wired together, watched over, started and stopped."""
