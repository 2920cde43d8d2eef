"""The commands besides `run`, `demo` and `consume`: check, probe, classify, card, replay, simulate, do, and more."""
