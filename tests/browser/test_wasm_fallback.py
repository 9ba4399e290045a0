"""A GPU that is lost or fails in the midst of an answer: WebAssembly goes on from the same tokens, and says so."""
import pytest

from tests.fixtures.sites import EnginePage
from tests.fixtures.wasm_models import MODEL
from tests.fixtures.worker_hook import hook_workers

PROMPT = [2, *range(265, 285)]
REQUEST = dict(prompt=PROMPT, max_tokens=40, ignore_eos=True, return_token_ids=True)

# SwiftShader passes for a GPU, and something happens to it before the submit of a given number in an answer: the first is the prompt's, then each is a token's.
HOOK = """
Object.defineProperty(GPUAdapterInfo.prototype, "isFallbackAdapter", { get: () => false });
const { requestDevice } = GPUAdapter.prototype;
let device;
GPUAdapter.prototype.requestDevice = async function (descriptor) { return (device = await requestDevice.call(this, descriptor)); };
const { createBuffer } = GPUDevice.prototype;
const made = {};
GPUDevice.prototype.createBuffer = function (descriptor) { return (made[descriptor.label] = createBuffer.call(this, descriptor)); };
const { submit } = GPUQueue.prototype;
let count = -Infinity; // what is submitted while loading does not count
addEventListener("message", ({ data: { method } }) => { if (["generate", "logits"].includes(method)) count = 0; });
GPUQueue.prototype.submit = function (commands) {
  if (++count === SUBMIT) { HAPPENS }
  return submit.call(this, commands);
};
"""
DESTROY = "device.destroy();"
# Each submit from then on is dropped, and reads zeros.
DROP = "made.peaks.destroy();"
REFUSE = "device.createBuffer({ size: 16, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.STORAGE });"
LOAD = """async (options) => {
    const { Engine } = await import("./gemlet.js");
    globalThis.changes = [];
    globalThis.engine = await Engine.load("models/MODEL/", { onBackend: (backend) => changes.push(backend), ...options });
    return engine.info.backend;
}""".replace("MODEL", MODEL)


def broken_gpu(happens: str, submit: int) -> str:
    return HOOK.replace("SUBMIT", str(submit)).replace("HAPPENS", happens)


def break_gpu(engine: EnginePage, happens: str, submit: int) -> None:
    """Of the engine that is loaded next."""
    hook_workers(engine.page, broken_gpu(happens, submit))


def load(engine: EnginePage, happens: str, submit: int, **options) -> dict:
    break_gpu(engine, happens, submit)
    return engine.page.evaluate(LOAD, options)


def tokens_of(answer: dict) -> list[int]:
    return answer["choices"][0]["token_ids"]


@pytest.mark.parametrize(("happens", "words"), [(DESTROY, "the GPU was lost"), (REFUSE, "the GPU refused a command"), (DROP, "the GPU refused a command")],
                         ids=["lost", "failing", "dropping"])
@pytest.mark.parametrize("sampling", [{"temperature": 0}, {"temperature": 1.5, "seed": 7}], ids=str)
def test_an_answer_goes_on_with_the_same_tokens(wasm_engine, happens, words, sampling):
    assert load(wasm_engine, happens, 15, tuning="off", activations="float")["name"] == "webgpu"
    pieces = wasm_engine.stream(**REQUEST, **sampling)
    tokens = [token for piece in pieces for token in tokens_of(piece)]
    (change,) = wasm_engine.page.evaluate("changes")
    assert change == wasm_engine.page.evaluate("engine.info.backend")
    assert change["name"] == "wasm" and f"WebGPU failed: {words}" in change["reason"]
    assert pieces[-1]["choices"][0]["finish_reason"] == "length"
    # What the GPU alone and what WebAssembly alone would have drawn.
    assert tokens == tokens_of(wasm_engine.complete(**REQUEST, **sampling))
    wasm_engine.page.reload()  # which ends the hook
    wasm_engine.load(MODEL, backend="webgpu", tuning="off")
    assert tokens == tokens_of(wasm_engine.complete(**REQUEST, **sampling))


def test_the_next_request_is_answered_where_the_gpu_was_lost_between_two(wasm_engine):
    load(wasm_engine, DESTROY, 2, tuning="off", activations="float")
    logits = wasm_engine.logits(PROMPT)  # one submit for the prompt; the second is that of the logits
    assert wasm_engine.page.evaluate("engine.info.backend.name") == "wasm"
    assert len(logits) > 0 and logits == wasm_engine.logits(PROMPT)


@pytest.mark.parametrize("submit", [2, 3])
def test_the_first_run_of_a_step_is_no_answer_where_the_gpu_drops_it(wasm_engine, submit):
    load(wasm_engine, DROP, submit, backend="webgpu", tuning="off")
    failure = wasm_engine.failure("engine.completions.create({ prompt: [2, 3], max_tokens: 40, ignore_eos: true })")
    assert failure["code"] == "gpu-error" and "the GPU refused the step " in failure["message"]


def test_a_shader_that_binds_more_than_the_device_offers_ends_the_load_on_webgpu(wasm_engine):
    def bind_more(route):
        text = route.fetch().text()
        more = "".join(f"@group(0) @binding({20 + i}) var<storage, read> more{i} : array<f32>;\n" for i in range(12))
        first = text.index("{", text.index("@compute")) + 1
        start = text.index("@group")
        body = text[:first] + "".join(f" _ = &more{i};" for i in range(12)) + text[first:]
        route.fulfill(body=body[:start] + more + body[start:], content_type="text/wgsl")

    wasm_engine.page.context.route("**/webgpu/sample_*.wgsl", bind_more)
    info = load(wasm_engine, "", 10**6, tuning="off")
    assert info["name"] == "wasm" and "WebGPU failed: the kernel sample_" in info["reason"] and "does not compile on this GPU" in info["reason"]


def test_progress_is_told_while_webassembly_loads(wasm_engine):
    break_gpu(wasm_engine, DESTROY, 5)
    wasm_engine.page.evaluate("""async ([folder, request]) => {
        const { Engine } = await import("./gemlet.js");
        globalThis.told = [];
        globalThis.engine = await Engine.load(folder, { tuning: "off", onProgress: (progress) => told.push(progress) });
        told.length = 0;
        await engine.completions.create(request);
    }""", [f"models/{MODEL}/", REQUEST])
    told = wasm_engine.page.evaluate("told")
    assert {each["phase"] for each in told} == {"weights", "kernels"}
    weights = [each for each in told if each["phase"] == "weights"]
    assert weights[0]["loaded"] == 0 and weights[-1]["loaded"] == weights[-1]["total"] > 0


def test_who_asks_for_webgpu_by_name_is_told_that_it_failed(wasm_engine):
    load(wasm_engine, DESTROY, 5, backend="webgpu", tuning="off")
    failure = wasm_engine.failure("engine.completions.create({ prompt: [2, 3], max_tokens: 40, ignore_eos: true })")
    assert failure["code"] == "device-lost" and "load the model again" in failure["message"]


def test_a_lost_gpu_is_an_error_that_names_both_where_webassembly_cannot_load(wasm_engine):
    load(wasm_engine, DESTROY, 5, tuning="off")
    wasm_engine.page.context.route("**/wasm/*.wasm", lambda route: route.abort())
    failure = wasm_engine.failure("engine.completions.create({ prompt: [2, 3], max_tokens: 40, ignore_eos: true })")
    assert failure["code"] == "device-lost"
    assert "the GPU was lost" in failure["message"] and "WebAssembly cannot take over" in failure["message"] and ".wasm" in failure["message"]
    wasm_engine.page.context.unroute("**/wasm/*.wasm")
    assert len(tokens_of(wasm_engine.complete(**REQUEST, temperature=0))) == 40
