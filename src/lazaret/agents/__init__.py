"""What programs that think may ask for: the orchestrator's graph, and one table of tools in two presentations."""
