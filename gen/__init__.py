"""The compiler: frontends, graph, target, schedule, machine, program, emission, report."""
