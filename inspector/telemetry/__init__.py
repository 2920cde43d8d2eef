"""What the station shows of itself: metrics, health with its reason, the word to systemd."""
