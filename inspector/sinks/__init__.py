"""Where messages go, one module per kind behind the small protocols of `base`."""
