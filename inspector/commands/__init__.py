"""The commands besides `run` and `demo`: check, probe, classify, replay, do, bench, forget."""
