"""Explanations as readable scripts in percent cells, and notebooks made of them.

>>> from unpooled.explain.scripts import names
>>> names()
['bias_variance']
"""
