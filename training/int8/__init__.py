"""From the float network to the int8 file that the daemon runs, and the point at which it operates."""
