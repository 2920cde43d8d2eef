"""The other end of delivery: a consumer that keeps every message once, and asks for what is missing."""
