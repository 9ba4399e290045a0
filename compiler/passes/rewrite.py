"""The frame of our passes: visit each call of a step, look through to its arguments' definitions, replace it."""
from collections.abc import Callable
from dataclasses import dataclass

import tvm
from tvm import relax

Definition = Callable[[relax.Expr], relax.Expr]


@dataclass(frozen=True)
class Fused:
    """A call with several results: the first is that of the call it replaces, the others take the place of `variables` in
    whatever follows."""

    call: relax.Call
    variables: tuple[relax.Var, ...]


def rewrite_calls(module: tvm.IRModule, rule: Callable[[relax.Call, Definition], relax.Expr | Fused | None]) -> tvm.IRModule:
    """Applies `rule(call, definition)` to every call in order; None keeps the call. Dead bindings are removed.

    `definition(expr)` is what a variable was bound to (already rewritten), or the expression itself.
    """

    @relax.expr_functor.mutator
    class Rewriter(relax.PyExprMutator):
        def __init__(self, module):
            super().__init__(module)
            self.taken_over = {}

        def visit_call_(self, call):
            call = self.visit_expr_post_order(call)
            replacement = rule(call, self.definition)
            if not isinstance(replacement, Fused):
                return call if replacement is None else replacement
            results = self.builder_.emit(replacement.call)
            for index, variable in enumerate(replacement.variables, 1):
                self.taken_over[variable] = self.builder_.emit(relax.TupleGetItem(results, index))
            return relax.TupleGetItem(results, 0)

        def visit_var_(self, variable):
            return self.latest(super().visit_var_(variable))

        def visit_dataflow_var_(self, variable):
            return self.latest(super().visit_dataflow_var_(variable))

        def latest(self, variable):
            return self.taken_over.get(variable, variable)

        def definition(self, expression):
            while isinstance(expression, relax.Var):
                bound = self.lookup_binding(expression)
                if bound is None:
                    return expression
                expression = bound
            return expression

    result = module.clone()
    for name, function in module.functions.items():
        if isinstance(function, relax.Function):
            result[name] = Rewriter(module).visit_expr(function)
    return remove_dead(result)


def remove_dead(module: tvm.IRModule) -> tvm.IRModule:
    """Removes bindings that no result needs; every function is an entry point."""
    return relax.transform.DeadCodeElimination([name.name_hint for name in module.get_global_vars()])(module)


def is_op(expression, name: str) -> bool:
    """Whether the expression calls Relax's operator `relax.NAME`."""
    return isinstance(expression, relax.Call) and expression.op == tvm.ir.Op.get(f"relax.{name}")
