"""A robot arm that pushes a puck on a table: the task, a scripted policy, and films of both."""
