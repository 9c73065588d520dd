"""Rules that a published release keeps: one class per rule, its docstring is the public text.

Codes are never renumbered; a rule that goes takes its code with it.
"""
