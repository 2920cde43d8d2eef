"""Where messages go: a folder or module for each kind behind the small protocol of `base`."""
