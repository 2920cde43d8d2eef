"""What a bundle or a recipe is worth: the evaluators, the line benchmark, the folds, and the report."""
