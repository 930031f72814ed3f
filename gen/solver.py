"""Solver: CP-SAT, so that it answers the same every time."""

from ortools.sat.python import cp_model

__all__ = ["solved"]


def solved(model: cp_model.CpModel, seconds: float) -> cp_model.CpSolver | None:
    """The best that one worker finds in so much deterministic time, in the solver's own unit; None
    if that is nothing."""
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 1
    solver.parameters.max_deterministic_time = seconds
    found = solver.solve(model) in (cp_model.OPTIMAL, cp_model.FEASIBLE)
    return solver if found else None
