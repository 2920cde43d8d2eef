"""The float network: what it is, what it is fed, what it learns from, and the training itself."""
