"""What a browser, Prometheus or another program can ask of the station."""
