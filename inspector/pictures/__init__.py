"""Picture bytes become pixels, or a refusal with its reason."""
