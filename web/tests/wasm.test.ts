import { afterEach, describe, expect, test, vi } from "vitest";
import { sha256 } from "../src/artifact/hash";
import type { Manifest, WasmProgram } from "../src/artifact/manifest";
import type { TuningRequest } from "../src/backend/backend";
import { chooseModules } from "../src/wasm/choose_module";
import { compileModule } from "../src/wasm/compile";
import { findFeatures, type WasmFeatures } from "../src/wasm/features";
import { openWasm } from "../src/wasm/open_wasm";
import { bestOf, measureTrials } from "../src/wasm/try_modules";
import { WasmBackend } from "../src/wasm/wasm_backend";
import { makeArtifact } from "./fixture";
import { ADJUST, CACHE, moduleBytes, STACK_BYTES, STEPS, TRACE, wasmProgram } from "./wasm_fixture";

const plain = (await makeArtifact("abc")).manifest;
const program = await wasmProgram(plain);
const manifest: Manifest = { ...plain, targets: ["webgpu", "wasm"], wasm: program };

const ALL: WasmFeatures = { simd: true, relaxed: true, threadless: null, processors: 3 };
const REQUEST = { activations: null, threads: null, perLayerEmbeddings: "auto" } as const;

afterEach(() => vi.unstubAllGlobals());

describe("findFeatures", () => {
  test("finds what Node has, and no threads where the page is not isolated", () => {
    vi.stubGlobal("navigator", { hardwareConcurrency: 7 });
    expect(findFeatures()).toMatchObject({ simd: true, processors: 7 });
    expect(findFeatures().threadless).toMatch(/not cross-origin isolated: .*Cross-Origin-Opener-Policy/);
    vi.stubGlobal("crossOriginIsolated", true);
    expect(findFeatures().threadless).toBeNull();
  });

  test("finds nothing where the browser refuses the modules that need it", () => {
    vi.stubGlobal("crossOriginIsolated", true);
    vi.stubGlobal("navigator", {});
    vi.stubGlobal("WebAssembly", { validate: () => false });
    expect(findFeatures()).toMatchObject({ simd: false, relaxed: false, processors: 1, threadless: "this browser's WebAssembly has no threads" });
  });
});

describe("chooseModules", () => {
  const choose = (request = {}, features = {}) => {
    const { modules, threads, threadsReason } = chooseModules(program, { ...REQUEST, ...request }, { ...ALL, ...features });
    return [modules.map(({ file }) => file.slice(5, -5)).join(" "), threads, threadsReason];
  };

  test.each([
    [{}, {}, ["relaxed-threads simd128-threads", 3, "as many as the processor runs at once"]],
    [{}, { processors: 1 }, ["relaxed simd128", 1, "as many as the processor runs at once"]],
    [{}, { processors: 9 }, ["relaxed-threads simd128-threads", 4, "the most that the artifact serves, of 9 that the processor runs at once"]],
    [{}, { relaxed: false }, ["simd128-threads", 3, "as many as the processor runs at once"]],
    [{}, { threadless: "no isolation" }, ["relaxed simd128", 1, "no isolation"]],
    [{ threads: 2 }, { threadless: "no isolation" }, ["relaxed simd128", 1, "no isolation"]],
    [{ threads: 2 }, {}, ["relaxed-threads simd128-threads", 2, "asked for"]],
    [{ threads: 1 }, {}, ["relaxed simd128", 1, "asked for"]],
    [{ threads: 1, activations: "float16" }, {}, ["relaxed simd128", 1, "asked for"]],
    [{ threads: 1, activations: "float" }, {}, ["simd128-float", 1, "asked for"]],
  ])("for %j, where there is %j, takes %j", (request, features, expected) => {
    expect(choose(request, features)).toEqual(expected);
  });

  test.each([
    [{}, { simd: false }, "no-backend", /has no SIMD/],
    [{ threads: 5 }, {}, "bad-request", /threads: the artifact serves 4 at most, found 5/],
    [{ activations: "float" }, {}, "bad-request", /activations: the artifact has no module for "float" with threads/],
  ])("refuses %j where there is %j", (request, features, code, message) => {
    expect(() => choose(request, features)).toThrow(expect.objectContaining({ code, message: expect.stringMatching(message) }));
  });
});

describe("openWasm", () => {
  const open = (wasm: Manifest["wasm"], request = {}) => openWasm({ ...manifest, wasm }, { ...REQUEST, ...request }, ALL);

  test("gets memory of the size that the manifest states, shared where there are threads", () => {
    const several = open(program);
    expect([several.memory.buffer instanceof SharedArrayBuffer, several.memory.buffer.byteLength]).toEqual([true, program.memory_bytes]);
    const one = open(program, { threads: 1 });
    expect([one.memory.buffer instanceof ArrayBuffer, one.memory.buffer.byteLength]).toEqual([true, program.memory_bytes]);
    expect(() => one.memory.grow(1)).toThrow(RangeError);
  });

  test("says what a model that is too large needs, and what would fit", () => {
    const unfit = (context_that_fits: number) => open({ unfit: { memory_bytes: 5 * 2 ** 30, limit_bytes: 2 ** 32, context_that_fits } });
    expect(() => unfit(2048)).toThrow("recital needs 5120 MiB of WebAssembly's memory, which holds 4096 MiB at most. With a context of 2048 tokens it would fit: compile it with --context 2048");
    expect(() => unfit(0)).toThrow(/No context would make it fit: take a smaller model/);
  });

  test("names the bytes that the browser refuses", () => {
    vi.stubGlobal("WebAssembly", { Memory: function () { throw new RangeError("could not allocate memory"); } });
    expect(() => open(program)).toThrow(expect.objectContaining({
      code: "device-limits", message: expect.stringMatching(/did not give the 131072 bytes \(1 MiB\) of memory that recital needs: could not allocate memory/),
    }));
  });

  test("refuses an artifact without the target, and tables in storage", () => {
    expect(() => open(null)).toThrow(expect.objectContaining({ code: "no-backend", message: expect.stringContaining("has no wasm target") }));
    expect(() => open(program, { perLayerEmbeddings: "storage" })).toThrow(/"storage" is not supported by WebAssembly/);
  });
});

describe("compileModule", () => {
  const [module] = program.modules;
  const bytes = moduleBytes(manifest);
  const response = (content: Uint8Array<ArrayBuffer>, type: string) => new Response(content, { headers: { "Content-Type": type } });

  test.each(["application/wasm", "application/octet-stream"])("compiles a module that comes as %s", async (type) => {
    expect(await compileModule(module!, response(bytes, type))).toBeInstanceOf(WebAssembly.Module);
  });

  test("refuses a damaged module by both hashes, and one that does not compile by what the browser says", async () => {
    for (const type of ["application/wasm", "text/plain"]) {
      await expect(compileModule(module!, response(bytes.slice(1), type))).rejects.toThrow(
        new RegExp(`${module!.file}: the module is damaged: expected SHA-256 ${module!.sha256}, found [0-9a-f]{64}, ${bytes.length - 1} bytes in place of ${bytes.length}`),
      );
    }
    const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    await expect(compileModule({ ...module!, bytes: 0, sha256: empty }, response(new Uint8Array(), "application/wasm"))).rejects.toThrow(/does not compile the module/);
  });
});

describe("measureTrials", () => {
  /** What the trials of these milliseconds, by the time, are found to take, with a clock that ticks so often; and how long it took. */
  function measured(costs: ((at: number) => number)[], tick: number) {
    let at = 0;
    const trials = costs.map((cost) => () => void (at += cost(at)));
    const found = measureTrials(trials, () => Math.floor(at / tick) * tick);
    return { found, took: at };
  }
  const always = (cost: number) => () => cost;

  test("finds what each takes", () => {
    expect(measured([always(0.5), always(0.25)], 0.125)).toEqual({ found: [0.5, 0.25], took: 40 });
  });

  test("waits for a trial that the browser compiles better after a while", () => {
    const { found, took } = measured([always(0.5), (at) => (at < 35 ? 1 : 0.25)], 0.125);
    expect(found).toEqual([0.5, 0.25]);
    expect(took).toBeLessThan(90);
  });

  test("ends in time where the clock ticks rarely, and still finds the faster one", () => {
    const { found, took } = measured([always(0.5), always(0.25)], 100);
    expect(found[1]!).toBeLessThan(found[0]!);
    expect(took).toBeLessThan(601);
  });
});

test("the first module is the best one unless another is clearly faster", () => {
  expect([[2, 2], [2, 1.9], [2, 1.7], [1, 2]].map(bestOf)).toEqual([0, 0, 1, 0]);
});

describe("WasmBackend", () => {
  /** A backend on one thread, ready, and the words that its module writes. */
  async function start(wasm: WasmProgram = program, { tuning = "auto" as TuningRequest, loops = {} as Record<string, number> } = {}) {
    const opened = openWasm({ ...manifest, wasm }, { ...REQUEST, threads: 1 }, ALL);
    const backend = new WasmBackend(opened, manifest, "a test");
    const words = new Int32Array(opened.memory.buffer);
    const source = { manifest, text: async () => "", response: async (file: string) => new Response(moduleBytes(manifest, loops[file])), onPart: () => undefined };
    await backend.prepare(source, { tuning, activations: "int16" });
    await backend.complete();
    const trace = () => [...words.subarray(TRACE / 4 + 1, TRACE / 4 + 1 + words[TRACE / 4]!)].map((step) => Object.keys(STEPS)[step]);
    return { backend, words, trace };
  }
  const WARM_UP = ["prepare", "prefill_64", "tail", "sample", "decode"];
  const SAMPLING = { temperature: 0, top_k: 0, top_p: 1, min_p: 0, seed: 5, stop: [9] };
  const chunk = (...ids: number[]) => ({ ids, blocks: ids.map(() => 0), size: 64 });

  test("runs each step once before any answer, so that the browser compiles it well", async () => {
    const { trace } = await start();
    expect(trace()).toEqual(WARM_UP);
  });

  test("takes the fastest of the modules that do the same, and says so", async () => {
    const loops = { "wasm/relaxed.wasm": 100_000, "wasm/simd128.wasm": 1000 };
    const modules = await Promise.all(program.modules.map(async (module) => {
      const bytes = moduleBytes(manifest, loops[module.file as keyof typeof loops]);
      return { ...module, bytes: bytes.length, sha256: await sha256(bytes) };
    }));
    const tried = { ...program, modules, steps: { ...program.steps, trial: 7 } };
    const { backend, trace } = await start(tried, { loops });
    expect(backend.info.module).toMatchObject({ simd: "simd128", module_reason: expect.stringMatching(/^tried out: [\d.]+ µs with relaxed SIMD, [\d.]+ µs with plain SIMD$/) });
    expect(trace()).toEqual(WARM_UP);
    const off = await start(tried, { loops, tuning: "off" });
    expect(off.backend.info.module).toMatchObject({ simd: "relaxed", module_reason: "tuning is off" });
    const old = await start({ ...tried, steps: program.steps }, { loops });
    expect(old.backend.info.module).toMatchObject({ simd: "relaxed", module_reason: expect.stringContaining("compile it again") });
  });

  test("runs the steps of an answer in order, with state and tokens in the memory", async () => {
    const { backend, words, trace } = await start();
    backend.start(SAMPLING, 0);
    await backend.prefill(chunk(7, 8, 9));
    await backend.prefill(chunk(10, 11));
    const { position, length, seed, tokens } = manifest.state.fields;
    expect([position, length, seed, tokens, tokens + 1].map((field) => words[program.state / 4 + field])).toEqual([3, 2, 5, 10, 11]);
    expect([await backend.sample(), await backend.decode()]).toEqual([{ token: STEPS.sample, finished: false }, { token: STEPS.decode, finished: false }]);
    expect(trace()).toEqual([...WARM_UP, "prefill_64", "prefill_64", "tail", "sample", "decode"]);
    words[program.state / 4 + manifest.state.fields.finished] = 1;
    expect((await backend.decode()).finished).toBe(true);
  });

  test("draws from adjusted logits where a request has some, and gives the model's own where it wants them", async () => {
    const { backend, words, trace } = await start();
    backend.start(SAMPLING, 0);
    await backend.prefill(chunk(7));
    new Float32Array(words.buffer)[program.logits / 4 + 1] = 2.5;
    const first = await backend.sample({ adjustment: { words: Int32Array.of(1, 1, 7, 8, 9), mask: Int32Array.of(5, 6) }, logits: true });
    expect(first).toMatchObject({ token: STEPS.sample_adjusted, finished: false });
    expect([first.logits!.length, first.logits![1]]).toEqual([manifest.facts["vocab_size"], 2.5]);
    expect([...words.subarray(ADJUST.adjustments / 4, ADJUST.adjustments / 4 + 5)]).toEqual([1, 1, 7, 8, 9]);
    expect([...words.subarray(ADJUST.mask / 4, ADJUST.mask / 4 + 2)]).toEqual([5, 6]);
    const second = await backend.decode({ adjustment: { words: Int32Array.of(0, 0), mask: null }, logits: false });
    expect([second.token, second.logits]).toEqual([STEPS.sample_adjusted, undefined]);
    expect((await backend.decode({ adjustment: null, logits: true })).logits!.length).toBe(manifest.facts["vocab_size"]);
    expect(trace().slice(WARM_UP.length + 1)).toEqual(["tail", "sample_adjusted", "decode_logits", "sample_adjusted", "decode_logits", "sample"]);
  });

  test("copies what was written of its caches, puts it back, and leaves the rest alone", async () => {
    const { backend, words } = await start();
    const caches = words.subarray(CACHE.offset / 4, (CACHE.offset + 2 * CACHE.bytes) / 4);
    // Of three tokens two pieces of two slots; of nine all of the ring.
    expect([1, 3, 9].map((tokens) => backend.cacheBytes(tokens))).toEqual([64, 128, 128]);
    caches.fill(7);
    const copy = await backend.copyCaches(2);
    caches.fill(8);
    copy!.restore();
    const half = [...Array<number>(8).fill(7), ...Array<number>(8).fill(8)];
    expect([copy!.bytes, [...caches]]).toEqual([64, [...half, ...half]]);
  });

  test("has no copy of caches that an older artifact does not name", async () => {
    const { caches: _, ...old } = program;
    expect((await start(old)).backend.cacheBytes(1)).toBe(Infinity);
  });

  test("puts pieces of weights at their place, and gives logits that the next step does not change", async () => {
    const { backend, words } = await start();
    backend.weights.write(0, 4, Uint8Array.from([1, 2, 3, 4]));
    expect(words[program.weights[0]!.offset / 4 + 1]).toBe(0x04030201);
    const floats = new Float32Array(words.buffer);
    floats[program.logits / 4 + 2] = 1.5;
    const logits = await backend.logits();
    floats[program.logits / 4 + 2] = 2.5;
    expect([logits.length, logits[2], logits.buffer instanceof ArrayBuffer]).toEqual([manifest.facts["vocab_size"], 1.5, true]);
  });

  test("lets messages in between steps", async () => {
    const { backend } = await start();
    backend.start(SAMPLING, 0);
    const { port1, port2 } = new MessageChannel();
    const heard: string[] = [];
    port2.onmessage = ({ data }) => heard.push(data);
    port1.postMessage("first"); // the port begins to listen with this one
    await vi.waitFor(() => expect(heard).toEqual(["first"]));
    port1.postMessage("abort");
    // Node may take a thousand messages of one channel before it looks at another; steps that took no turn would never let it in.
    for (let steps = 0; steps < 10_000 && heard.length < 2; steps++) await backend.decode();
    expect(heard).toEqual(["first", "abort"]);
    port2.close();
  });

  test("tells what runs", async () => {
    const { backend } = await start();
    expect(backend.info).toMatchObject({
      name: "wasm", reason: "a test", threads: 1,
      module: { file: "wasm/relaxed.wasm", simd: "relaxed", activations: "int16", threads_reason: "asked for", memory_bytes: program.memory_bytes },
    });
    expect(backend.info.module!.compile_milliseconds).toBeGreaterThan(0);
  });

  test("rejects what is under way, and all that comes later, once it is unloaded", async () => {
    const { backend } = await start();
    backend.start(SAMPLING, 0);
    const pending = backend.sample();
    await backend.unload();
    await expect(pending).rejects.toMatchObject({ code: "unloaded" });
    await expect(backend.decode()).rejects.toMatchObject({ code: "unloaded" });
    await backend.unload();
  });

  test("sets the stack pointer to the end of the thread's stack", async () => {
    const set: number[] = [];
    const { Instance } = WebAssembly;
    vi.spyOn(WebAssembly, "Instance").mockImplementation(function (module: WebAssembly.Module, imports: WebAssembly.Imports) {
      const instance = new Instance(module, imports);
      return { exports: { ...instance.exports, __stack_pointer: { set value(top: number) { set.push(top); } } } };
    } as never);
    await start();
    vi.restoreAllMocks();
    expect(set).toEqual([STACK_BYTES]);
  });
});
