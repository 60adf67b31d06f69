"""Teaches the network of `stages/shots/network.py` from films that are made for it, whose cuts are known."""
