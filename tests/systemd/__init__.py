"""The Debian package under a real systemd, booted in a container."""
