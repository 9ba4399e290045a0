"""What an answer asks of WebGPU, call by call: the launches that the manifest lists, and nothing that is made or written while decoding."""
import pytest

from bench.counting import SCRIPT, difference, webgpu_counts
from tests.fixtures.sites import manifest_of

TOKENS = 6
PROMPT = [2, *range(265, 285)]


@pytest.mark.parametrize("model", ["plain-f32", "shared-kv-q4", "experts-top8-q4"])
def test_an_answer_costs_the_launches_of_its_steps_and_a_submit_a_token(loaded, site, model):
    manifest = manifest_of(site / "models" / model)
    launches = {step: len(listed) for step, listed in manifest["steps"].items()}
    chunk = next(size for size in manifest["prefill"] if size >= len(PROMPT))
    engine = loaded(model)
    # The first makes the read-back buffers, which later answers use again; behind the second the caches hold the prompt alone, so that nothing is put aside.
    for count in (TOKENS, 1):
        engine.tokens(PROMPT, count)
    start = webgpu_counts(engine.page)
    for count in (1, TOKENS):
        engine.tokens(PROMPT, count)
        counts = webgpu_counts(engine.page)
        assert difference(counts, start) == {
            "dispatches": launches[f"prefill_{chunk}"] + launches["tail"] + launches["sample"] + (count - 1) * launches["decode"],
            "submits": 1 + count,  # one for the prompt, one a token
            "writes": 1,  # the prompt
            "maps": count,
            "bind_groups": 0, "pipelines": 0, "buffers": 0,
        }
        start = counts


def test_every_kind_of_call_is_counted(engine):
    """Else the zeros above would mean nothing."""
    counts = engine.page.evaluate("""async (script) => {
        eval(script);
        eval(script); // a second time does not count twice
        const device = await (await navigator.gpu.requestAdapter()).requestDevice();
        const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST;
        const buffer = device.createBuffer({ size: 16, usage });
        const result = device.createBuffer({ size: 16, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
        const code = "@group(0) @binding(0) var<storage, read_write> a: array<u32>; @compute @workgroup_size(1) fn main() { a[0] = 1u; }";
        const compute = { module: device.createShaderModule({ code }), entryPoint: "main" };
        const pipeline = device.createComputePipeline({ layout: "auto", compute });
        const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries: [{ binding: 0, resource: { buffer } }] });
        device.queue.writeBuffer(buffer, 0, new Uint32Array(4));
        const encoder = device.createCommandEncoder();
        const pass = encoder.beginComputePass();
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, group);
        pass.dispatchWorkgroups(1);
        pass.dispatchWorkgroups(1);
        pass.end();
        device.queue.submit([encoder.finish()]);
        await result.mapAsync(GPUMapMode.READ);
        device.destroy();
        return webgpuCounts;
    }""", SCRIPT)
    assert counts == {"dispatches": 2, "bind_groups": 1, "pipelines": 1, "buffers": 2, "writes": 1, "submits": 1, "maps": 1}
