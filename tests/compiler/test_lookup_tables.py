"""Which weights count as tables: those that tokens are looked up in, and that nothing else reads."""
from compiler.schedule.lookup_tables import lookup_tables
from tests.fixtures.lowered import lowered


def tables_of(name: str) -> list[str]:
    return [weight.name for weight in lowered(name).weights if weight.is_table]


def test_a_tied_embedding_is_no_table():
    assert tables_of("gemma3_270m") == []
    assert lowered("gemma3_270m").program.tables == ()


def test_per_layer_embeddings_are_a_table_and_the_program_says_where():
    assert tables_of("gemma4_shared") == ["embed_tokens_per_layer.weight"]
    program = lowered("gemma4_shared").program
    (table,) = program.tables
    assert table.buffers[0] == "embed_tokens_per_layer.weight.data"
    readers = {launch.kernel.name for launches in program.steps.values() for launch in launches if set(table.buffers) & set(launch.buffers)}
    assert readers and all(name.startswith("embed_table_") for name in readers)
    assert program.constants[table.part].tolist() == [0, table.rows, table.rows]
    assert not set(table.buffers) & {buffer.name for buffer in program.in_one_binding}
