"""The commands besides `run`, `demo` and `consume`: check, probe, classify, card, replay, do, records, and more."""
