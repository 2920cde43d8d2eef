"""The report of a coil: what was stored of it in, a `CoilReport` out, and its page, map and list of sections; pure."""
