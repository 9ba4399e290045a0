"""The C text of a module's driver: each step as a list of calls with every address a constant, and the threads that share them out."""
from ..schedule.program import Launch
from ..state import STATE

# How often a thread looks before it sleeps: 0.1 to 0.2 ms where it was measured, longer than the engine takes from one token to the next. A thread that
# has slept comes late: with 20,000 looks, two threads decoded 64 tokens a second of the 270M, with these 106.
SPINS = 400000
# Parts of a launch for each thread, of which it takes one after the other: a core that is slower, or has to do something else, takes fewer.
PARTS = 4
# Makes a function one of the module. With loops and barriers in line, decode was a function of 45 KB, which V8 compiled anew at about the 28th token, on a core
# of its own for 120 to 150 ms: with two threads on two cores those tokens took twice as long.
APART = "__attribute__((noinline))"

HEAD = """\
typedef int i32;
typedef __attribute__((address_space(0))) char byte;

static i32 jobs, job, arrived, passed, asleep, broken;
/* Work items of the launch that are taken; in a line of the cache of its own, since others look at the numbers above while they wait. */
static __attribute__((aligned(128))) i32 taken[32];

#define LOAD(place) __atomic_load_n(&place, __ATOMIC_SEQ_CST)
#define STORE(place, value) __atomic_store_n(&place, value, __ATOMIC_SEQ_CST)
#define ADD(place, value) __atomic_fetch_add(&place, value, __ATOMIC_SEQ_CST)

/* Returns when *place is no longer `old`: looks for a while, then sleeps, for the next change is most often near. */
static void wait_while(i32 *place, i32 old) {
  for (i32 i = 0; i < SPINS; i++) if (__atomic_load_n(place, __ATOMIC_SEQ_CST) != old) return;
  ADD(asleep, 1);
  while (__atomic_load_n(place, __ATOMIC_SEQ_CST) == old) __builtin_wasm_memory_atomic_wait32(place, old, -1);
  ADD(asleep, -1);
}

/* Lets those go on that wait for *place, which has changed. Waking is a call out of the module, and most often nobody sleeps. */
static void wake(i32 *place) {
  if (LOAD(asleep)) __builtin_wasm_memory_atomic_notify(place, -1);
}

/* Returns when all threads are here. Traps where one has trapped, which will never be here: else the others would wait for ever. */
static void barrier(i32 threads) {
  if (threads == 1) return;
  i32 old = LOAD(passed);
  if (LOAD(broken)) __builtin_trap();
  if (ADD(arrived, 1) == threads - 1) {
    STORE(arrived, 0);
    STORE(taken[0], 0);
    ADD(passed, 1);
    wake(&passed);
  } else {
    wait_while(&passed, old);
    if (LOAD(broken)) __builtin_trap();
  }
}

/* The first of the next work items: those behind the last ones where there is one thread, else those that no other has taken. */
static i32 take(i32 next, i32 part, i32 threads) {
  return threads == 1 ? next : ADD(taken[0], part);
}

#define ALL 0x7fffffff
/* Before launch `number` of a step. */
#define LAUNCH(number) if (first <= number && number < last)
#define AT(offset) (byte *)(offset)
"""
EXPORTED = """\
/* Does a step with this thread alone, before others serve. */
void alone(i32 step) {
  execute(step, 0, ALL, 1);
}

/* Does the launches first ... last - 1 of a step with this thread alone, while no other does anything. */
void part(i32 step, i32 first, i32 last) {
  execute(step, first, last, 1);
}

/* Does a step, together with `threads - 1` others that are, or will be, in `serve`. */
void run(i32 step, i32 threads) {
  STORE(job, step);
  ADD(jobs, 1);
  wake(&jobs);
  execute(step, 0, ALL, threads);
}

/* Takes part in every step until `quit`. */
void serve(i32 thread, i32 threads) {
  for (i32 seen = 0;; seen++) {
    wait_while(&jobs, seen);
    i32 step = LOAD(job);
    if (step < 0) return;
    execute(step, 0, ALL, threads);
  }
}

/* To be called by a thread whose `serve` has trapped. */
void abandon(void) {
  STORE(broken, 1);
  ADD(passed, 1);
  wake(&passed);
}

void quit(void) {
  STORE(job, -1);
  ADD(jobs, 1);
  wake(&jobs);
}
"""


def driver(steps: dict[str, list[Launch]], offsets: dict[str, int], signatures: dict[str, tuple[str, ...]]) -> str:
    """C text with the functions `alone`, `part`, `run`, `serve`, `abandon` and `quit` (docs/artifact.md, "WebAssembly"): a module without threads exports three.

    offsets: bytes from the start of memory, by buffer name. signatures: the names of the pointers that a kernel takes, by its name. A step's
    number is its place in `steps`.
    """
    kernels = dict.fromkeys(launch.kernel.name for launches in steps.values() for launch in launches)
    parts = [f"#define SPINS {SPINS}\n#define PARTS {PARTS}", HEAD, *(sharing(name, len(signatures[name])) for name in kernels)]
    for number, (name, launches) in enumerate(steps.items()):
        # Steps of one token have one, whatever the state tells: in `tail` that is the length of the chunk before.
        length = f"((i32 *){offsets['state']})[{STATE['length']}]" if name.startswith("prefill_") else "1"
        lines = [f"  LAUNCH({i}){call(launch, signatures[launch.kernel.name], offsets, length)}" for i, launch in enumerate(launches)]
        parts.append("\n".join([f"\n/* {name} */", f"static {APART} void step_{number}(i32 first, i32 last, i32 threads) {{", *lines, "}"]))
    cases = [f"    case {number}: step_{number}(first, last, threads); break;" for number in range(len(steps))]
    parts.append("\n".join(["\nstatic void execute(i32 step, i32 first, i32 last, i32 threads) {", "  switch (step) {", *cases, "  }", "}\n"]))
    return "\n".join([*parts, EXPORTED])


def sharing(name: str, count: int) -> str:
    """The kernel, which takes `count` pointers, and the function that a launch calls: its thread takes work items as long as there are some."""
    pointers = [f"p{i}" for i in range(count)]
    return f"""
void {name}({", ".join(["byte *"] * len(pointers))}, i32, i32);
static {APART} void launch_{name}({", ".join(f"byte *{pointer}" for pointer in pointers)}, i32 items, i32 threads) {{
  i32 part = threads == 1 ? items : (items + PARTS * threads - 1) / (PARTS * threads);
  for (i32 first = take(0, part, threads); first < items; first = take(first + part, part, threads))
    {name}({", ".join(pointers)}, first, first + part < items ? first + part : items);
  barrier(threads);
}}"""


def call(launch: Launch, signature: tuple[str, ...], offsets: dict[str, int], length: str) -> str:
    """One launch; a pointer that the kernel has no use for is 0."""
    kernel = launch.kernel
    bound = dict(zip(kernel.parameter_names, launch.buffers))
    pointers = [f"AT({offsets[bound[name]]}u)" if name in bound else "0" for name in signature]
    items = f"{kernel.items} * {length}" if kernel.per_token else str(kernel.items)
    return f" launch_{kernel.name}({', '.join(pointers)}, {items}, threads);"
