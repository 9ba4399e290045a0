"""Checks that a chat template parses, as Jinja and as transformers extends it, before minutes go into kernels."""

from pathlib import Path

from jinja2 import Environment, TemplateSyntaxError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser

from compiler.errors import GemletError

LONGEST = 1 << 20  # characters; Gemma 4's has 20,000


class Generation(Extension):
    """`{% generation %}`, by which templates mark what the model wrote."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def check_template(template: str, where: str | Path) -> None:
    """Raises GemletError, which begins with `where`, for a template that cannot be parsed, or a very long one."""
    if len(template) > LONGEST:
        raise GemletError(f"{where}: the chat template has {len(template)} characters; expected at most {LONGEST}.")
    environment = Environment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, Generation])
    try:
        environment.parse(template)
    except TemplateSyntaxError as error:
        problem = f"line {error.lineno}: {error.message}"
    except RecursionError:
        problem = "it nests too deeply"
    except ValueError as error:  # a number of thousands of digits
        problem = str(error)
    else:
        return
    raise GemletError(f"{where}: the chat template does not parse: {problem}. Download the checkpoint again.")
