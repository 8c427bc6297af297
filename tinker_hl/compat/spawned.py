"""What a process runs that was spawned by a program under `python -m tinker_hl.compat`: that program, as a module.

Not for importing: `multiprocessing` runs it, under the name that `Program.prepared` left for it.
"""

from tinker_hl.compat.program import Program

if __name__ == "__mp_main__":
    globals().update(vars(Program.inherited().load()))
