"""The schemas of operators, and what `parse` and `make` refuse."""
import pytest
from tvm import relax
from tvm.relax import op

from compiler.errors import GemletError
from compiler.passes.operators import SCHEMAS, make, parse
from tests.fixtures.relax_steps import EPS, GAIN, ROW, norm


def broken(name: str, *arguments) -> relax.Call:
    return relax.call_dps_packed(name, list(arguments), out_ty=ROW)


def test_parse_reads_what_make_wrote():
    x = relax.Var("x", ROW)
    found = parse(make("unit_rms_norm", ROW, x=x, eps=EPS, factor=1.0))
    assert found.name == "unit_rms_norm" and found["x"].same_as(x) and found["eps"] == EPS
    assert parse(op.exp(x)) is None and parse(x) is None


def test_parse_gives_absent_tensors_as_none():
    found = parse(norm(ROW, relax.Var("x", ROW), relax.Var("g", GAIN)))
    assert found["residual"] is None and found["output_scale"] is None and found["factor"] == 1.0


@pytest.mark.parametrize(("call", "message"), [
    (lambda x: broken("gemlet.unit_rms_norm", x), r"operator unit_rms_norm: 1 arguments; expected Schema\(tensors=\('x',\), attributes=\('eps', 'factor'\)\)"),
    (lambda x: broken("gemlet.swish", x), "operator swish: 1 arguments; expected an operator of embed, "),
    (lambda x: broken("gemlet.unit_rms_norm", x, x, x), "operator unit_rms_norm: attribute eps is x, expected a constant")])
def test_parse_refuses_a_broken_call(call, message):
    with pytest.raises(GemletError, match=message):
        parse(call(relax.Var("x", ROW)))


@pytest.mark.parametrize(("values", "message"), [
    (dict(x=None, eps=EPS, factor=1.0, width=4), r"operator unit_rms_norm: unknown \['width'\], missing \[\]"),
    (dict(x=None), r"operator unit_rms_norm: unknown \[\], missing \['eps', 'factor'\]")])
def test_make_refuses_values_that_the_schema_lacks_or_needs(values, message):
    with pytest.raises(GemletError, match=message):
        make("unit_rms_norm", ROW, **values)


def test_schemas_name_each_argument_once():
    for schema in SCHEMAS.values():
        names = schema.tensors + schema.attributes
        assert len(set(names)) == len(names)
