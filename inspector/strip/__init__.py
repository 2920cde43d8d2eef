"""The strip itself: its scale, and what comes back along it; as pure as `inspection`."""
