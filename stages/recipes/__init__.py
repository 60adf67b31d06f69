"""The recipes: functions that build a DAG. Their arguments are the knobs."""
