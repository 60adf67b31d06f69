"""Footage drawn for the demo and the tests, with its truth, and how results are scored against it.

`draw.draw(folder)` writes the films, `truth.read_truth(folder)` reads what is known about them,
`score.score_boundaries` and `score.score_clips` compare it with what was found.
"""
