"""The model (独立模型): facts, calendar, scores, triggers and caps in plain Python.

It knows the presets as written and the rules as decided, and nothing of the product's code.
"""
