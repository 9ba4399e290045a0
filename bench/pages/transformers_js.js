// transformers.js, driven from the page as its own quick start does. Its browser caches are off: every load is a first one.

/** options: {model, device: "webgpu" | "wasm", threads}. */
export async function load({ model, device, threads }) {
  const { AutoModelForCausalLM, AutoTokenizer, BaseStreamer, Tensor, env } = await import(
    "../node_modules/@huggingface/transformers/dist/transformers.min.js"
  );
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  env.localModelPath = new URL("../", import.meta.url).pathname;
  env.useBrowserCache = false;
  env.useWasmCache = false;
  const runtime = new URL("../node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.asyncify", import.meta.url).href;
  env.backends.onnx.wasm.wasmPaths = { mjs: `${runtime}.mjs`, wasm: `${runtime}.wasm` };
  env.backends.onnx.wasm.numThreads = threads;
  const tokenizer = await AutoTokenizer.from_pretrained(model);
  const network = await AutoModelForCausalLM.from_pretrained(model, { device, dtype: "q4", use_external_data_format: true });

  class Clock extends BaseStreamer {
    times = [];

    // Called once with the prompt, then with each token.
    put() {
      this.times.push(performance.now());
    }

    end() {}
  }

  return {
    async generate({ ids }, count) {
      const shape = [1, ids.length];
      const input_ids = new Tensor("int64", BigInt64Array.from(ids, BigInt), shape);
      const attention_mask = new Tensor("int64", new BigInt64Array(ids.length).fill(1n), shape);
      const streamer = new Clock();
      const start = performance.now();
      const output = await network.generate({
        input_ids,
        attention_mask,
        max_new_tokens: count,
        min_new_tokens: count,
        do_sample: false,
        streamer,
      });
      const tokens = output.tolist()[0].slice(ids.length);
      return { start, times: streamer.times.slice(1), text: tokenizer.decode(tokens) };
    },
  };
}
