"""The generator: a moving strip with defects at known places, drawn from a seed, never photographed."""
