"""What the station shows of itself: metrics, health with its reason, and its state to systemd."""
