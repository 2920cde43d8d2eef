"""Where frames come from, one module per kind behind the small protocol of `base`."""
