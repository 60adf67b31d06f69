"""Evaluates generated videos against a reference: metrics with their controls, intervals, drift curves."""
