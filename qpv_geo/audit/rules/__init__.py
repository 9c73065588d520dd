"""Rules that a published release keeps: one function per rule, its docstring is the public text.

Codes are never renumbered; a rule that goes takes its code with it. Each is one of the rules of its kind of
file.
"""
