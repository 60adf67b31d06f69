"""The recipes: whole DAGs as functions, whose keyword arguments are their knobs."""
