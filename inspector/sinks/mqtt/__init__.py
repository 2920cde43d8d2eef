"""Delivers the outbox to a broker: a window of unacknowledged messages, and the mark."""
