"""What must survive: messages, outbox, ledger and counters in one SQLite file, and evidence pictures."""
