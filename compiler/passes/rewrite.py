"""The frame of our passes: visit each call of a step, look through to its arguments' definitions, replace it."""
from collections.abc import Callable

import tvm
from tvm import relax

Definition = Callable[[relax.Expr], relax.Expr]


def rewrite_calls(module: tvm.IRModule, rule: Callable[[relax.Call, Definition], relax.Expr | None]) -> tvm.IRModule:
    """Applies `rule(call, definition)` to every call in order; None keeps the call. Dead bindings are removed.

    `definition(expr)` is what a variable was bound to (already rewritten), or the expression itself.
    """

    @relax.expr_functor.mutator
    class Rewriter(relax.PyExprMutator):
        def visit_call_(self, call):
            call = self.visit_expr_post_order(call)
            replacement = rule(call, self.definition)
            return call if replacement is None else replacement

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
