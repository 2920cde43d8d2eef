"""Every key of the configuration, once: its type, default, range and sentence."""
