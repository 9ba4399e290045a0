// wllama (llama.cpp). The prompt is computed anew each time: its cache of earlier prompts is off.

/** options: {model, gpuLayers, threads}. gpuLayers 0: on the CPU. */
export async function load({ model, gpuLayers, threads }) {
  const { LoggerWithoutDebug, Wllama } = await import("../node_modules/@wllama/wllama/esm/index.min.js");
  const program = new URL("../node_modules/@wllama/wllama/esm/wasm/wllama.wasm", import.meta.url).href;
  const wllama = new Wllama({ default: program }, { suppressNativeLog: true, logger: LoggerWithoutDebug });
  const answer = await fetch(model);
  if (!answer.ok) throw new Error(`${answer.url}: ${answer.status}`);
  await wllama.loadModel([await answer.blob()], { n_ctx: 4096, n_threads: threads, n_gpu_layers: gpuLayers });
  return {
    async generate({ text: prompt, ids }, count) {
      const request = { prompt, max_tokens: count, temperature: 0, ignore_eos: true, cache_prompt: false, stream: true };
      const start = performance.now();
      const times = [];
      let text = "";
      for await (const { choices, timings } of await wllama.createCompletion(request)) {
        if (choices[0].finish_reason === null) {
          times.push(performance.now());
          text += choices[0].text;
        } else if (timings.prompt_n !== ids.length) {
          throw new Error(`expected ${ids.length} prompt tokens to be computed, found ${timings.prompt_n}`);
        }
      }
      return { start, times, text };
    },
  };
}
