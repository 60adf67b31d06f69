"""Synthetic films for the demo and the tests, with their ground truth, and scores of results against it.

`draw.draw(folder)` writes the films, and `truth.read_truth(folder)` reads their ground truth.
`score.score_boundaries` and `score.score_clips` compare results with it.
"""
