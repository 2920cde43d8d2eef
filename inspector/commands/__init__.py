"""The commands besides `run` and `demo`: check, probe, classify, replay, bench, forget."""
