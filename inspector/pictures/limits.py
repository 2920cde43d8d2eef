"""How large a picture may be unless it is configured."""

MAX_FILE_BYTES = 64 << 20
"""Larger picture files are refused."""
MAX_FRAME_PX = 100_000_000
"""Pictures and frames with more pixels are refused."""
