// gemlet: its own engine, in its own worker, on the default model.

/** options: {folder, backend, threads (of wasm)}. Gives the engine's interface of this benchmark (bench/README.md). */
export async function load({ folder, backend, threads }) {
  const { Engine } = await import("../gemlet/gemlet.js");
  // Nothing is put aside: copies of the conversation before would count among the calls to the GPU.
  const engine = await Engine.load(folder, { backend, threads, conversationMemory: 0 });
  const { module, threads: count } = engine.info.backend;
  if (threads !== undefined && count !== threads) throw new Error(`expected ${threads} threads, found ${count}: ${module.threads_reason}`);
  return {
    adapter: engine.info.backend.adapter,
    module: module && { file: module.file, bytes: module.bytes, compile: module.compile_milliseconds, memory: module.memory_bytes },
    async generate({ ids }, count) {
      const request = { prompt: ids, max_tokens: count, temperature: 0, ignore_eos: true, stream: true, return_token_ids: true };
      const start = performance.now();
      const times = [];
      let text = "";
      for await (const { choices } of await engine.completions.create(request)) {
        const now = performance.now();
        for (const _ of choices[0].token_ids) times.push(now);
        text += choices[0].text;
      }
      return { start, times, text };
    },
  };
}
