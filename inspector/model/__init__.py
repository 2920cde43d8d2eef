"""The bundle: its card, its interpreters, and the proof that it scores here as it scored in training."""
