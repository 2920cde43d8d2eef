"""One frame in, one `Inspection` out: tiles, scores, verdicts and defects, without I/O, clock or thread."""
