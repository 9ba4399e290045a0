"""What the KV caches hold of an earlier request is not computed again, on either backend, and the answer is the one of an engine that has heard nothing."""
import pytest

from tests.fixtures.wasm_models import MODEL
from tests.fixtures.worker_hook import hook_workers

# Its rings hold 384 slots: the window of 64 and a chunk, in whole tiles; the engine counts on 319.
FIRST = [2, *(3 + 7 * i % 250 for i in range(99))]
LONG = [2, *(3 + 11 * i % 250 for i in range(599))]
OTHER = [2, *(3 + 13 * i % 250 for i in range(149))]

# Counts the bytes of the GPU's copies of conversations, and the most that there were at once.
COUNT_COPIES = """
globalThis.copies = { bytes: 0, most: 0 };
const { createBuffer } = GPUDevice.prototype;
GPUDevice.prototype.createBuffer = function (descriptor) {
  const buffer = createBuffer.call(this, descriptor);
  if (descriptor.label === "conversation") {
    copies.most = Math.max(copies.most, (copies.bytes += descriptor.size));
    const { destroy } = buffer;
    buffer.destroy = () => { copies.bytes -= descriptor.size; destroy.call(buffer); };
  }
  return buffer;
};
"""


def answer(engine, prompt: list[int], count: int = 12, **request) -> tuple[list[int], int]:
    """Tokens, and how many of the prompt's were not computed."""
    found = engine.complete(prompt=prompt, max_tokens=count, temperature=0, ignore_eos=True, return_token_ids=True, **request)
    return found["choices"][0]["token_ids"], found["usage"]["prompt_tokens_details"]["cached_tokens"]


# Loads are compared bit by bit: none may choose other kernels or another module than the one before it.
AS_IT_IS = {"tuning": "off"}


@pytest.fixture(params=["wasm", "webgpu"])
def engine(request, wasm_engine):
    wasm_engine.backend = request.param
    wasm_engine.load(MODEL, backend=request.param, **AS_IT_IS)
    return wasm_engine


def fresh(engine, prompt: list[int]) -> list[int]:
    engine.load(MODEL, backend=engine.backend, **AS_IT_IS)
    tokens, cached = answer(engine, prompt)
    assert cached == 0
    return tokens


def test_a_second_turn_computes_only_what_is_new(engine):
    first, cached = answer(engine, FIRST)
    assert cached == 0
    # The newest token of an answer was drawn, but never read; on WebGPU surplus steps may have read it.
    second = [*FIRST, *first, 5, 6, 7]
    tokens, cached = answer(engine, second)
    assert cached in (len(second) - 4, len(second) - 3)
    assert tokens == fresh(engine, second)


def test_another_answer_to_the_same_prompt_computes_its_last_token(engine):
    first, _ = answer(engine, FIRST)
    assert answer(engine, FIRST) == (first, len(FIRST) - 1)


def test_a_changed_message_is_computed_from_the_change_on(engine):
    answer(engine, FIRST)
    changed = [*FIRST[:40], 9, 8, 7, *FIRST[50:]]
    tokens, cached = answer(engine, changed)
    assert cached == 40
    assert tokens == fresh(engine, changed)


def test_where_the_rings_wrapped_a_near_change_is_computed_alone_and_a_far_one_from_the_start(engine):
    answer(engine, LONG)
    near = [*LONG[:500], 4, 4, *LONG[500:520]]
    tokens, cached = answer(engine, near)
    assert cached == 500
    far = [*LONG[:200], 5, *LONG[200:300]]
    others, cached = answer(engine, far)
    assert cached == 0
    assert tokens == fresh(engine, near)
    assert others == fresh(engine, far)


def test_logits_leave_caches_that_count(engine):
    engine.logits(FIRST)
    tokens, cached = answer(engine, [*FIRST, 9])
    assert cached == len(FIRST)
    assert tokens == fresh(engine, [*FIRST, 9])


def test_an_answer_may_go_on_behind_a_full_context(engine):
    context = engine.page.evaluate("engine.info.context")
    prompt = [2, *(3 + 13 * i % 250 for i in range(context - 6))]
    tokens, _ = answer(engine, prompt, 30, overflow="shift")
    assert len(tokens) == 30
    short = engine.complete(prompt=prompt, max_tokens=30, temperature=0, ignore_eos=True, return_token_ids=True)["choices"][0]
    assert (short["finish_reason"], short["token_ids"]) == ("length", tokens[:5])
    # What follows is the answer to the first token and the newest half of what was there.
    half = [2, *[*prompt, *tokens[:5]][-(context // 2 - 1):]]
    assert tokens[5:17] == fresh(engine, half)
    assert "context-overflow" == engine.failure(f"engine.completions.create({{ prompt: {[2] * context} }})")["code"]
    assert len(answer(engine, [2] * (context + 9), 3, overflow="shift")[0]) == 3


def turns_of(engine, others_between: bool) -> list:
    """Second turns of two conversations, of which one has lost what its rings held first: tokens, and logarithms of probabilities for each. With others before
    each of them, or behind the first turn at once."""
    begun = [FIRST, LONG]
    if others_between:
        firsts = [answer(engine, prompt)[0] for prompt in begun]
    found = []
    for number, prompt in enumerate(begun):
        first = firsts[number] if others_between else answer(engine, prompt)[0]
        if others_between:
            answer(engine, OTHER)
        turn = [*prompt, *first, 5, 6, 7]
        answered = engine.complete(prompt=turn, max_tokens=12, temperature=0, ignore_eos=True, return_token_ids=True, logprobs=20)
        assert answered["usage"]["prompt_tokens_details"]["cached_tokens"] in (len(turn) - 4, len(turn) - 3)
        found.append((answered["choices"][0]["token_ids"], answered["choices"][0]["logprobs"]))
    return found


def test_a_conversation_goes_on_after_others_as_in_an_engine_that_never_switched(engine):
    switched = turns_of(engine, others_between=True)
    engine.load(MODEL, backend=engine.backend, conversationMemory=0, **AS_IT_IS)
    assert switched == turns_of(engine, others_between=False)


PROMPTS = [[2, *(start + 7 * i % 240 for i in range(99))] for start in range(3, 9)]


def test_the_copies_of_conversations_keep_to_their_budget(wasm_engine):
    """One of 100 tokens and an answer takes 128 slots of 512 bytes, so that two have room."""
    room = 2 * 128 * 512
    hook_workers(wasm_engine.page, COUNT_COPIES)
    wasm_engine.load(MODEL, backend="webgpu", conversationMemory=room + 1000)
    for prompt in PROMPTS:
        answer(wasm_engine, prompt)
    assert wasm_engine.page.workers[-1].evaluate("copies") == {"bytes": room, "most": room}
    assert [answer(wasm_engine, prompt)[1] for prompt in (PROMPTS[-2], PROMPTS[0])] == [99, 1]


def test_without_memory_for_them_no_conversation_is_kept(wasm_engine):
    wasm_engine.load(MODEL, backend="wasm", conversationMemory=0)
    assert [answer(wasm_engine, PROMPTS[i])[1] for i in (0, 1, 0)] == [0, 1, 1]
