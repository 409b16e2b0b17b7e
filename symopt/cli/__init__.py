"""The command `symopt`: a file for each of its commands, and the few modules that several of them need.

A command's module has EXAMPLE, `add_arguments(parser)` and `run(arguments)`, which returns the exit status. It is
imported when it is the one asked for, so that `symopt --help` loads no engine.
"""
