"""Recipes: one file each, plain assignments, read by `training.recipe`."""

X_SDD = {
    "source": "X-SDD (X. Feng, X. Gao, L. Luo, Symmetry 13(4), 706, 2021)",
    "licence": "Apache-2.0",
    "shows": {
        "surface scratch": "scratches",
        "finishing roll printing": "",
        "iron sheet ash": "",
        "oxide scale of plate system": "",
        "oxide scale of temperature system": "",
        "red iron": "",
    },
}
"""Auxiliary pictures. Its slag inclusion is left out: learned as inclusion, plain steel of a third mill became one."""
