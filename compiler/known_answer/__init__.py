"""What a model answers to a fixed prompt, by an implementation that shares nothing with the one that runs in the browser: plain numpy, layer
by layer, no Relax, no pass, no kernel."""

from compiler.known_answer.answer import known_answer

__all__ = ["known_answer"]
