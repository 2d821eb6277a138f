"""Work in a process of its own, which nothing that happens there can end.

    process.py   the parent's side: start, talk, listen, keep to limits, kill the whole group
    crew.py      threads that each have a process do jobs
    start.py     what the child runs first: this package, and nothing of the working directory
    channel.py   the child's side: messages up, jobs down, and an end when the parent has gone

A job is one JSON object on a line down, its messages are JSON objects on lines up. What a job and
its messages mean is their rooms' matter: :mod:`elmcfg.proof.child`, :mod:`elmcfg.study.worker`.

This room never imports MLX.
"""

from elmcfg.children.channel import Channel, jobs, open_channel
from elmcfg.children.crew import Crew
from elmcfg.children.process import Ended, Limits, Process, command_of

__all__ = [
    "Channel",
    "Crew",
    "Ended",
    "Limits",
    "Process",
    "command_of",
    "jobs",
    "open_channel",
]
