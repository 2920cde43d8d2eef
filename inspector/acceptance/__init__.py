"""Whether a station is still what was accepted, and how right its events are: in the manner of VDI/VDE/VDMA 2632."""
