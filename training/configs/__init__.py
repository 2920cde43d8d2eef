"""Recipes: one file each, plain assignments, read by `training.recipe`."""

X_SDD = {
    "source": "X-SDD (X. Feng, X. Gao, L. Luo, Symmetry 13(4), 706, 2021)",
    "licence": "Apache-2.0",
    "shows": {
        "finishing roll printing": "",
        "iron sheet ash": "",
        "oxide scale of plate system": "",
        "oxide scale of temperature system": "",
    },
}
"""Outliers. Left out: scratches and slag inclusion, which blurred NEU's labels when learned under them, and red iron.

Its dark streaks are what NEU calls inclusion: with it, a whole surface of validation inclusions became uncertain."""
