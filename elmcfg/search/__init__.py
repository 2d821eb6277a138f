"""Budgets to ranked designs: an exact search of a stated space.

    Space   what is searched: ranges of depth, width, heads and schedules (``space``)
    Bound   what a design must keep to, and what is best (``budgets``)
    Question  the three together: what every search is asked (``question``)
    halves  every schedule of one half (attention or feed-forward), as integers (``halves``)
    search  the two halves met in the middle: optimum, counts, candidates (``engine``)
    free    every layer's widths on their own: a solver's optimum (``free``)
    Task    one search as it was asked for, and ``elmcfg.design`` (``task``)

Everything is pure and gives the same answer for the same input. numpy is imported by ``halves``
and what stands on it, never by ``space`` and ``budgets``; MLX by none of them.
"""
