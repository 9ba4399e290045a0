"""Lets TVM find the parser that an inline is called from without reading the source of every caller.

`ScriptMacro._find_parser_def` takes `inspect.getouterframes`, which collects a line of source for each frame of the stack, to look at
their globals alone. The stack is deep, and kernels are made of inlines: this was two fifths of the time to read one.
"""
import sys

from tvm.script.parser.core.parser import ScriptMacro


def find_parser(macro: ScriptMacro):
    """The parser among the globals of the nearest caller that has one."""
    frame = sys._getframe(1)
    while frame is not None:
        parser = frame.f_globals.get(macro.parser_object_name)
        if parser is not None:
            return parser
        frame = frame.f_back
    raise RuntimeError(f"{macro.parser_object_name} not available")


def install() -> None:
    ScriptMacro._find_parser_def = find_parser
