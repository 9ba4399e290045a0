"""WebAssembly as the engine loads it: which module and how many threads, what is refused before a download, and what is left after an unload."""
import json
import re
import shutil

import pytest

from tests.fixtures.sites import EnginePage, manifest_of
from tests.fixtures.waiting import wait_until
from tests.fixtures.wasm_models import MODEL
from tests.fixtures.worker_hook import NO_RELAXED_SIMD, hook_workers

PROMPT = [2, *range(265, 285)]
TOLERANCE = 2e-3  # the project's bound on logits, as in test_random_checkpoints.py
LOAD = "import('./gemlet.js').then(({{ Engine }}) => Engine.load('models/{name}/', {options}))"
ISOLATION = ("cross-origin-opener-policy", "cross-origin-embedder-policy")
# In the engine's worker: the threads that it starts trap as soon as they serve.
TRAPPING_THREADS = """
const trap = `const { Instance } = WebAssembly;
  WebAssembly.Instance = function (module, imports) {
    return { exports: { ...new Instance(module, imports).exports, serve() { throw new WebAssembly.RuntimeError("unreachable"); } } };
  };`;
const file = (script) => URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
globalThis.Worker = class extends Worker {
  constructor(address, options) {
    super(file(`import "${file(trap)}"; import "${address}";`), options);
  }
};
"""
NO_MEMORY = "WebAssembly.Memory = class { constructor() { throw new RangeError('could not allocate memory'); } };"


def fails(engine: EnginePage, options: dict, name: str = MODEL) -> dict:
    return engine.failure(LOAD.format(name=name, options=json.dumps(options)))


def answer_elsewhere(engine: EnginePage, change) -> None:
    """Lets `change` alter the headers of every answer of the server, and loads the page anew."""
    def answer(route):
        response = route.fetch()
        headers = dict(response.headers)
        change(route.request.url, headers)
        route.fulfill(response=response, headers=headers)

    engine.page.context.route("**/*", answer)
    engine.page.reload()


def test_the_same_answer_with_every_number_of_threads(wasm_engine):
    answers, processors = [], wasm_engine.page.evaluate("navigator.hardwareConcurrency")
    for threads in (None, 1, 2, 3, 4):
        # Without trials, whose outcome may differ between loads: relaxed SIMD and plain round sums of float32 differently.
        backend = wasm_engine.load(MODEL, backend="wasm", tuning="off", **({} if threads is None else {"threads": threads}))["backend"]
        assert backend["threads"] == threads or (threads is None and backend["threads"] <= processors)
        assert backend["module"]["activations"] == "int16"
        assert ("threads" in backend["module"]["file"]) == (backend["threads"] > 1)
        assert len(wasm_engine.page.workers) >= backend["threads"]
        answers.append((wasm_engine.tokens(PROMPT, 24), wasm_engine.logits(PROMPT)))
    assert all(answer == answers[0] for answer in answers)


def test_a_prompt_of_several_chunks_gives_webgpus_logits(wasm_engine):
    prompt = [2, *(7 + 11 * i % 300 for i in range(600))]
    wasm_engine.load(MODEL, backend="webgpu", tuning="off")
    expected = wasm_engine.logits(prompt)
    for threads in (1, 2):
        wasm_engine.load(MODEL, backend="wasm", activations="float", threads=threads)
        assert wasm_engine.logits(prompt) == pytest.approx(expected, abs=TOLERANCE)


def test_on_a_software_adapter_webassembly_is_taken_and_says_why(wasm_engine):
    backend = wasm_engine.load(MODEL)["backend"]
    assert (backend["name"], backend["reason"]) == ("wasm", "WebGPU would compute on the processor too, which takes longer")


def test_a_page_that_is_not_isolated_gets_one_thread_and_the_reason(wasm_engine):
    answer_elsewhere(wasm_engine, lambda _, headers: [headers.pop(name, None) for name in ISOLATION])
    assert wasm_engine.page.evaluate("crossOriginIsolated") is False
    for options in ({}, {"threads": 2}):
        backend = wasm_engine.load(MODEL, backend="wasm", **options)["backend"]
        assert backend["threads"] == 1 and "the page is not cross-origin isolated" in backend["module"]["threads_reason"]
        assert len(wasm_engine.tokens(PROMPT, 8)) == 8


def test_a_host_that_sends_another_type_for_modules_is_good_enough(wasm_engine):
    def change(url: str, headers: dict) -> None:
        if url.endswith(".wasm"):
            headers["content-type"] = "application/octet-stream"

    answer_elsewhere(wasm_engine, change)
    wasm_engine.load(MODEL, backend="wasm")
    assert len(wasm_engine.tokens(PROMPT, 8)) == 8


@pytest.mark.parametrize("threads", [1, 2])
def test_of_relaxed_and_plain_simd_the_faster_is_taken_with_the_same_answer(wasm_engine, threads):
    asked = {"backend": "wasm", "threads": threads}
    tried = wasm_engine.load(MODEL, **asked)["backend"]["module"]
    relaxed, plain = map(float, re.fullmatch(r"tried out: ([\d.]+) µs with relaxed SIMD, ([\d.]+) µs with plain SIMD", tried["module_reason"]).groups())
    # Relaxed SIMD stays unless plain is a tenth faster; the times are rounded to a hundredth of a microsecond.
    assert tried["simd"] == ("simd128" if plain <= 0.9 * relaxed else "relaxed") or abs(plain - 0.9 * relaxed) < 0.02
    answers = [wasm_engine.tokens(PROMPT, 8)]
    untried = wasm_engine.load(MODEL, **asked, tuning="off")["backend"]["module"]
    assert (untried["simd"], untried["module_reason"]) == ("relaxed", "tuning is off")
    answers.append(wasm_engine.tokens(PROMPT, 8))
    hook_workers(wasm_engine.page, NO_RELAXED_SIMD)
    alone = wasm_engine.load(MODEL, **asked)["backend"]["module"]
    assert (alone["simd"], alone["module_reason"]) == ("simd128", "there is no other")
    assert wasm_engine.load(MODEL, **asked, activations="int8")["backend"]["module"]["activations"] == "int16"
    assert [*answers, wasm_engine.tokens(PROMPT, 8)] == 3 * answers[:1]


def test_a_thread_that_traps_is_an_error_and_nobody_waits_for_it(wasm_engine):
    hook_workers(wasm_engine.page, TRAPPING_THREADS)
    failure = fails(wasm_engine, {"backend": "wasm", "threads": 2, "tuning": "off"})
    assert failure["code"] == "worker-failed"
    assert 'the step "prepare" of wasm/int16-relaxed-threads.wasm broke off' in failure["message"] and "load the model again" in failure["message"]


def test_what_does_not_fit_is_refused_before_anything_is_downloaded(wasm_engine, wasm_site):
    copy = shutil.copytree(wasm_site / "models" / MODEL, wasm_site / "models" / "unfit", dirs_exist_ok=True)
    manifest = manifest_of(copy)
    manifest["wasm"] = {"unfit": {"memory_bytes": 5 * 2**30, "limit_bytes": 2**32, "context_that_fits": 96}}
    (copy / "model.json").write_text(json.dumps(manifest))
    requests = []
    wasm_engine.page.on("request", lambda request: requests.append(request.url))
    failure = fails(wasm_engine, {"backend": "wasm"}, "unfit")
    assert failure["code"] == "device-limits"
    assert "needs 5120 MiB of WebAssembly's memory, which holds 4096 MiB at most. With a context of 96 tokens it would fit" in failure["message"]
    assert not [url for url in requests if "/weights/" in url or url.endswith((".wasm", ".wgsl"))]
    backend = wasm_engine.load("unfit", tuning="off")["backend"]
    assert backend["name"] == "webgpu" and "WebAssembly cannot run it" in backend["reason"] and "5120 MiB" in backend["reason"]


def test_memory_that_the_browser_refuses_is_named_in_bytes_and_by_itself_it_takes_webgpu(wasm_engine, wasm_site):
    requests = []
    wasm_engine.page.on("request", lambda request: requests.append(request.url))
    hook_workers(wasm_engine.page, NO_MEMORY)
    failure = fails(wasm_engine, {"backend": "wasm"})
    memory_bytes = manifest_of(wasm_site / "models" / MODEL)["wasm"]["memory_bytes"]
    assert failure["code"] == "device-limits" and f"did not give the {memory_bytes} bytes" in failure["message"]
    assert not [url for url in requests if "/weights/" in url]
    assert wasm_engine.load(MODEL, tuning="off")["backend"]["name"] == "webgpu"


@pytest.mark.parametrize(("options", "words"), [
    ({"perLayerEmbeddings": "storage"}, '"storage" is not supported by WebAssembly'),
    ({"threads": 17}, "threads: the artifact serves"),
    ({"threads": 0}, "threads: expected a whole number of at least 1"),
])
def test_a_wrong_option_is_refused_by_name(wasm_engine, options, words):
    failure = fails(wasm_engine, {"backend": "wasm", **options})
    assert failure["code"] == "bad-request" and words in failure["message"]


def test_a_damaged_module_is_refused_by_its_hash_and_leaves_no_worker(wasm_engine, wasm_site):
    copy = shutil.copytree(wasm_site / "models" / MODEL, wasm_site / "models" / "damaged", dirs_exist_ok=True)
    for file in (copy / "wasm").iterdir():
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
    failure = fails(wasm_engine, {"backend": "wasm"}, "damaged")
    assert failure["code"] == "bad-artifact" and "the module is damaged: expected SHA-256" in failure["message"]
    wait_until(wasm_engine.page, [], lambda: wasm_engine.page.workers)
