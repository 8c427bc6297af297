"""The command line: `tinker-hl`. Each command is a module of its own, imported when it is asked for."""
