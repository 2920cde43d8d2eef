"""Recipes: one file each, plain assignments, read by `training.recipe`."""
