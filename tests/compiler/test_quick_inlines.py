"""Inlines find their parser as TVM finds it, but sooner."""
import inspect

import tvm
from tvm.script.parser.core.parser import ScriptMacro

from compiler.kernels.linear_matrix import linear_matrix
from compiler.kernels.quick_inlines import find_parser


def slow(macro: ScriptMacro):
    """TVM's own way."""
    return next(parser for info in inspect.stack() if (parser := info.frame.f_globals.get(macro.parser_object_name)) is not None)


def test_a_kernel_is_read_as_tvm_reads_it(monkeypatch):
    assert ScriptMacro._find_parser_def is find_parser
    found = []
    for find in (find_parser, slow):
        monkeypatch.setattr(ScriptMacro, "_find_parser_def", find)
        found.append(linear_matrix(16, 70, 96, "q4", epilogue="gated").prim_func)
    tvm.ir.assert_structural_equal(*found)
