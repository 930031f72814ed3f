"""Layers whose weights are the circuit: products with constants as graphs of adders."""
