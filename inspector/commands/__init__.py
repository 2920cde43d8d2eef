"""The commands besides `run` and `demo`: check, probe, classify, card, replay, do, bench, forget, backup, restore."""
