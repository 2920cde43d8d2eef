"""The bundle: its card, its interpreters, and the proof that it decides here as when it was written."""
