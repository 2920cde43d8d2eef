"""One frame in, one `Inspection` out: tiles, scores, verdicts, defects. Pure: no I/O, no clock, no thread."""
