"""From Relax functions to a Program: lowering, KV plan, memory plan."""
