"""The pure parts of the benchmark: figures of several rounds, prompts, the choice of engines, the report."""
from dataclasses import replace

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from bench.browser import Adapter, find_adapter
from bench.command import DEFAULTS, choose
from bench.engines import WASM, WEBGPU, engines
from bench.measure import Answer, Module, Round
from bench.processes import MemoryPeak
from bench.processor import Pace, built_processor
from bench.prompts import LONG, SHORT, prompts
from bench.report import Results, Settings, format_results, table
from bench.summary import Spread, cell, decode_rate, number, per_token, spread
from compiler.command_line import parse
from compiler.errors import GemletError
from compiler.serve import serving

CALLS = {"dispatches": 150.0, "bind_groups": 0.0, "pipelines": 0.0, "buffers": 0.0, "writes": 0.0, "submits": 1.0, "maps": 1.0}
# Two rounds, by threads.
COMPUTER = [{1: Pace(8e9, 20e9), 2: Pace(14e9, 22e9)}, {1: Pace(12e9, 20e9), 2: Pace(18e9, 30e9)}]


def a_round(load: float = 2000.0, **changes) -> Round:
    answers = [Answer(6, [500.0, 750.0, 1000.0], " the city"), Answer(200, [4000.0, 4250.0, 4750.0], " slept")]
    memory = MemoryPeak(page=100 << 20, gpu=400 << 20, both=450 << 20)
    return replace(Round(load, 900.0, answers, CALLS, 0.25, 0.5, memory), **changes)


def results(rounds: dict, **changes) -> Results:
    settings = dict.fromkeys(sorted({engine.backend for engine in rounds}), Settings((6, 200), 3, 2))
    adapter = Adapter("hardware", "acme one", "156.0")
    return Results(settings, adapter, "x86_64, 2 cores, Linux", rounds, changes.get("failed", {}), {}, COMPUTER, 2 * 10**9)


def cells(text: str, heading: str) -> list[list[str]]:
    """Cells of the table under a heading, its head first."""
    lines = text.split(f"## {heading}\n")[1].split("\n## ")[0].splitlines()
    rows = [[word.strip() for word in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return [rows[0], *rows[2:]]


def test_a_spread_is_the_median_and_the_ends_of_all_rounds():
    assert spread([3.0, 1.0, 2.0]) == spread([1.0, 2.0, 3.0]) == Spread(2.0, 1.0, 3.0, 3)
    assert spread([4.0, 1.0]) == Spread(2.5, 1.0, 4.0, 2)
    assert spread([]) is None


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (0.0123456, "0.0123"), (1.5, "1.50"), (99.94, "99.9"), (150.0, "150"), (1234.5, "1234")])
def test_numbers_have_three_digits(value, text):
    assert number(value) == text


def test_a_cell_shows_the_spread_only_where_there_is_one():
    assert cell(Spread(150.0, 150.0, 150.0, 5)) == "150"
    assert cell(Spread(2.0, 1.0, 3.5, 3)) == "2.00 (1.00 … 3.50)"
    assert cell(None) == "-"


def test_the_cost_of_a_token_leaves_out_the_prompt_and_the_first_token():
    prompt, first, each = 40, 10, 150
    assert per_token(prompt + first + 7 * each, prompt + first, 8) == each


def test_a_decode_rate_begins_at_the_first_token():
    assert decode_rate([5000.0, 5250.0, 5500.0]) == 4.0
    assert Answer(100, [2000.0, 2100.0], "").prefill_rate == 50.0


def test_a_table_escapes_what_would_end_a_cell():
    assert table(["a", "b"], [["x|y", "z"]]) == ["| a | b |", "| --- | --- |", "| x\\|y | z |"]


def test_the_report_has_every_engine_and_prompt_and_names_the_adapter():
    gemlet, peer, *_ = engines((1,))
    text = format_results(results({gemlet: [a_round(2000.0), a_round(3000.0)], peer: [a_round(), a_round()]}))
    assert "Adapter: acme one" in text and "2 rounds" in text and "3 tokens decoded" in text
    loading = cells(text, "Loading, memory and threads")
    assert loading[1] == [gemlet.title, "2.50 (2.00 … 3.00)", "0.900", "0.250", "0.500", "100", "400", "450"]
    speed = cells(text, "Speed")
    assert [row[:2] for row in speed[1:]] == [[engine.title, length] for length in ("6", "200") for engine in (gemlet, peer)]
    assert speed[1][2:] == ["0.500", "12.0", "4.00"] and speed[3][2:] == ["4.00", "50.0", "2.67"]
    assert cells(text, "Calls to WebGPU a decoded token")[1] == [gemlet.title, "150", "0", "0", "0", "0", "1.00", "1.00"]


def test_gemlet_is_compared_with_the_fastest_other_and_with_the_memory():
    found = {(engine.name, engine.threads): engine for engine in engines((1, 2)) if engine.backend == WASM}
    rounds = {engine: [a_round(answers=[Answer(6, [1000.0 / rate, 1000.0 / rate + 1000 / rate], "") for _ in range(2)])]
              for engine, rate in zip(found.values(), (4.0, 1.0, 2.0, 6.0, 2.0, 1.5))}
    text = format_results(results(rounds))
    table = cells(text, "gemlet beside the fastest other engine")
    assert [row[0] for row in table[1:]] == ["gemlet wasm, 1 thread"] * 2 + ["gemlet wasm, 2 threads"] * 2
    assert table[1][2:] == ["2.00 (wllama 3.8.1)"] * 2 and table[3][2:] == ["3.00 (transformers.js 4.3.1)"] * 2
    table = cells(text, "gemlet wasm and the computer")
    assert table[1] == ["1", "6", "8.00", "10.0", "80 %", "1.00", "1.00"] and table[3] == ["2", "6", "12.0", "16.0", "75 %", "1.50", "1.50"]


def test_an_adapter_is_found_whether_there_is_a_gpu_or_not(playwright, tmp_path):
    (tmp_path / "blank.html").write_text("<!doctype html><title>blank</title>")
    with serving(tmp_path) as address:
        adapter = find_adapter(playwright, address + "blank.html", "auto")
    assert (adapter.kind == "swiftshader") == ("swiftshader" in adapter.name)


def test_memory_is_read_and_products_are_made_at_rates_that_can_be():
    with built_processor() as processor:
        paces = processor.measure((1, 2))
    assert [*paces] == [1, 2]
    assert all(1e9 < pace.memory < 1e13 and 1e8 < pace.products < 1e13 for pace in paces.values())


def test_threads_of_the_computer_are_compared_round_by_round():
    (gemlet,) = choose(engines((2,)), ["gemlet wasm"])
    rows = cells(format_results(results({gemlet: [a_round()]})), "Threads of the computer")[1:]
    assert rows == [["1", "10.0 (8.00 … 12.0)", "1.00", "20.0", "1.00"], ["2", "16.0 (14.0 … 18.0)", "1.62 (1.50 … 1.75)", "26.0 (22.0 … 30.0)", "1.30 (1.10 … 1.50)"]]


def test_an_engine_that_failed_has_its_reason_and_no_row():
    gemlet, peer, *_ = engines((1,))
    text = format_results(results({gemlet: [a_round()]}, failed={peer.title: "it has no such thing"}))
    assert f"- {peer.title}: it has no such thing" in text and "- WebLLM" in text
    assert not any(row[0] == peer.title for heading in ("Speed", "Answers") for row in cells(text, heading))


def test_engines_on_the_processor_have_no_row_of_calls_and_may_have_no_worker_time():
    (wllama,) = choose(engines((2,)), ["wllama 3.8.1 wasm"])
    text = format_results(results({wllama: [a_round(calls_per_token={}, worker_threads_per_token=None)]}))
    assert cells(text, "Calls to WebGPU a decoded token")[1:] == []
    assert cells(text, "Loading, memory and threads")[1][4] == "-"


def test_a_module_of_webassembly_has_a_row_of_its_own_and_no_table_without_one():
    (gemlet,) = choose(engines((2,)), ["gemlet wasm"])
    assert (gemlet.title, gemlet.options["threads"]) == ("gemlet wasm, 2 threads", 2)
    rounds = [a_round(module=Module("wasm/a.wasm", 300 << 10, compile, 640 << 20)) for compile in (40.0, 60.0)]
    row = cells(format_results(results({gemlet: rounds})), "WebAssembly")[1]
    assert row == [gemlet.title, "`wasm/a.wasm`", "300", "50.0 (40.0 … 60.0)", "640"]
    assert "## WebAssembly" not in format_results(results({gemlet: [a_round()]}))


def test_engines_are_chosen_by_the_beginning_of_their_titles():
    found = engines((1, 2))
    assert choose(found, None) == found
    assert {engine.name for engine in choose(found, ["gemlet"])} == {"gemlet"}
    assert [engine.threads for engine in choose(found, ["wllama 3.8.1 wasm"])] == [1, 2]
    with pytest.raises(GemletError, match="--engines: expected the beginning of one of .*, found 'ollama'"):
        choose(found, ["ollama"])


def test_titles_tell_all_engines_apart():
    found = engines((1, 2))
    assert len({engine.title for engine in found}) == len(found)
    assert any(engine.backend == WEBGPU for engine in found)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """A token a word and a point: enough to count with."""
    words = {piece for prompt in (SHORT, LONG) for piece, _ in pre_tokenizers.Whitespace().pre_tokenize_str(prompt)}
    made = Tokenizer(models.WordLevel(vocab={word: i for i, word in enumerate(["?", *sorted(words)])}, unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return made


def test_prompts_have_the_lengths_asked_for_and_their_text_is_their_tokens(tokenizer):
    for prompt, length in zip(prompts(tokenizer, (6, 30)), (6, 30), strict=True):
        assert len(prompt.ids) == length and prompt.ids[0] == 2
        assert tokenizer.encode(prompt.text).ids == prompt.ids[1:]
    with pytest.raises(GemletError, match="no prompt of 1000000 tokens"):
        prompts(tokenizer, (1_000_000,))


def test_the_command_line_reads_lists_and_refuses_what_cannot_be_measured(capsys):
    options = parse(["bench", "--engines", "gemlet,wllama", "--prompts", "6,100", "--threads", "2"])
    assert (options.engines, options.prompts, options.threads, options.tokens) == (("gemlet", "wllama"), (6, 100), (2,), None)
    for wrong in (["--tokens", "1"], ["--prompts", "6,1"], ["--rounds", "0"], ["--adapter", "best"]):
        with pytest.raises(SystemExit):
            parse(["bench", *wrong])
    assert "at least 2" in capsys.readouterr().err


def test_each_kind_of_adapter_has_settings():
    assert set(DEFAULTS) == {"hardware", "swiftshader", "processor"} and all(settings.tokens >= 2 for settings in DEFAULTS.values())
