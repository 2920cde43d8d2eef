"""What the station shows of itself: metrics, health with its reason, and the word to systemd."""
