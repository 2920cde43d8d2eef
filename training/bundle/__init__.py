"""The bundle: written, opened as the daemon opens it, and honest about the pictures behind its weights."""
