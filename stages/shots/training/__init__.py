"""Trains the network of `stages/shots/network.py` on synthetic films whose boundaries are known."""
