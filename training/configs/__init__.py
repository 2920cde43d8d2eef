"""Recipes: one file each, plain assignments, read by `training.recipe`."""

X_SDD = {
    "source": "X-SDD (X. Feng, X. Gao, L. Luo, Symmetry 13(4), 706, 2021)",
    "licence": "Apache-2.0",
    "shows": {
        "finishing roll printing": "",
        "iron sheet ash": "",
        "oxide scale of plate system": "",
        "oxide scale of temperature system": "",
        "red iron": "",
    },
}
"""Outliers. Its scratches and slag inclusion are left out: learned under NEU's labels, they blurred what these are."""
