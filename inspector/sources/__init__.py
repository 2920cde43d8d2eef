"""Where frames come from: a module for each kind behind the small protocol of `base`."""
