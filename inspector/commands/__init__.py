"""What `inspector` does besides running: check, probe, classify, replay, bench, forget."""
