"""The engine in a real browser: sampling, stopping, streaming, aborting, chat, and the page while all that goes on."""
import numpy as np
import pytest
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from tests.browser.conftest import CHAT_TEMPLATE
from tests.fixtures.gemma4_checkpoints import VOCABULARY, greedy_choices, reference, reference_logits
from tests.fixtures.sites import EnginePage

MODEL = "plain-f32"
CONTEXT = 1300
PROMPT = [2, *range(265, 285)]
STOP_TOKENS = (1, 6)  # <eos> and <turn|>
TOLERANCE = 2e-3  # the project's bound on logits, as in test_random_checkpoints.py


@pytest.fixture(scope="module")
def requests() -> list[str]:
    """Addresses of all that the page and its worker have asked for."""
    return []


@pytest.fixture(scope="module")
def engine(browser, address, requests):
    page = EnginePage(browser, address)
    page.page.on("request", lambda request: requests.append(request.url))
    page.load(MODEL)
    yield page
    page.close()


@pytest.fixture(scope="module")
def model(checkpoints):
    return reference(checkpoints("plain"))


@pytest.fixture(scope="module")
def greedy(engine) -> dict:
    """A greedy completion of 40 tokens, as one object."""
    return engine.complete(prompt=PROMPT, max_tokens=40, temperature=0, ignore_eos=True, return_token_ids=True)


def random_ids(count: int, seed: int = 3) -> list[int]:
    return [2, *map(int, np.random.default_rng(seed).integers(7, VOCABULARY, count - 1))]


def text_of(answer: dict) -> str:
    return answer["choices"][0]["text"]


def test_a_streams_chunks_join_to_the_whole_answer(engine, greedy):
    chunks = engine.stream(prompt=PROMPT, max_tokens=40, temperature=0, ignore_eos=True, return_token_ids=True, stream_options={"include_usage": True})
    *pieces, usage = chunks
    assert len(pieces) > 5
    assert "".join(text_of(piece) for piece in pieces) == text_of(greedy)
    assert [token for piece in pieces for token in piece["choices"][0]["token_ids"]] == greedy["choices"][0]["token_ids"]
    assert [piece["choices"][0]["finish_reason"] for piece in pieces] == [None] * (len(pieces) - 1) + ["length"]
    assert usage["choices"] == [] and len({chunk["id"] for chunk in chunks}) == 1
    for counted in (usage["usage"], greedy["usage"]):
        assert (counted["prompt_tokens"], counted["completion_tokens"], counted["total_tokens"]) == (len(PROMPT), 40, len(PROMPT) + 40)


def test_text_is_what_the_tokenizer_makes_of_the_tokens(greedy, checkpoints):
    tokenizer = Tokenizer.from_file(str(checkpoints("plain") / "tokenizer.json"))
    assert text_of(greedy) == tokenizer.decode(greedy["choices"][0]["token_ids"], skip_special_tokens=True)


def test_a_text_prompt_is_its_tokens_after_the_bos(engine):
    ids = [2, *(264 + ord(letter) - ord("a") for letter in "gemlet")]
    answers = [engine.complete(prompt=prompt, max_tokens=8, temperature=0, return_token_ids=True) for prompt in ("gemlet", "<bos>gemlet", ids)]
    assert answers[0]["usage"]["prompt_tokens"] == len(ids)
    assert len({tuple(answer["choices"][0]["token_ids"]) for answer in answers}) == 1


def test_a_seed_names_one_text(engine):
    def drawn(seed: int) -> list[int]:
        return engine.tokens(PROMPT, 24, temperature=1.5, seed=seed)

    first = drawn(7)
    assert drawn(7) == first
    assert drawn(8) != first
    assert drawn(7) == first


@pytest.mark.parametrize("sampling", [{"temperature": 0}, {"temperature": 2, "top_k": 1}, {"temperature": 2, "top_p": 1e-6},
                                      {"temperature": 2, "min_p": 1}], ids=str)
def test_sampling_that_leaves_one_token_is_greedy(engine, model, sampling):
    answer = engine.tokens(PROMPT, 16, seed=5, **sampling)
    assert len(answer) == 16 and answer == greedy_choices(model, PROMPT, answer)


def test_max_tokens_is_exact(engine, greedy):
    for count in (1, 2, 3):
        answer = engine.complete(prompt=PROMPT, max_tokens=count, temperature=0, ignore_eos=True, return_token_ids=True)
        assert answer["choices"][0]["token_ids"] == greedy["choices"][0]["token_ids"][:count]
        assert answer["choices"][0]["finish_reason"] == "length" and answer["usage"]["completion_tokens"] == count


def test_a_stop_string_ends_the_answer_before_it(engine, greedy):
    text = text_of(greedy)
    stop = text[8:10]
    expected = text[:text.index(stop)]
    answer = engine.complete(prompt=PROMPT, max_tokens=40, temperature=0, ignore_eos=True, stop=["never drawn", stop])
    assert (text_of(answer), answer["choices"][0]["finish_reason"]) == (expected, "stop")
    pieces = engine.stream(prompt=PROMPT, max_tokens=40, temperature=0, ignore_eos=True, stop=stop)
    assert ("".join(map(text_of, pieces)), pieces[-1]["choices"][0]["finish_reason"]) == (expected, "stop")


def test_a_stop_token_ends_the_answer_unless_ignored(engine):
    """At this temperature all tokens are about as likely, so that one of the two is drawn soon."""
    for seed in range(8):
        request = dict(prompt=PROMPT, temperature=50, seed=seed, max_tokens=150, return_token_ids=True)
        whole = engine.complete(ignore_eos=True, **request)["choices"][0]["token_ids"]
        places = [place for place, token in enumerate(whole) if token in STOP_TOKENS]
        if places:
            break
    ended = engine.complete(**request)
    assert len(whole) == 150
    assert ended["choices"][0]["token_ids"] == whole[:places[0] + 1]
    assert ended["choices"][0]["finish_reason"] == "stop" and ended["usage"]["completion_tokens"] == places[0] + 1


def test_an_aborted_answer_keeps_what_it_has_and_the_next_is_as_ever(engine, greedy):
    pieces = engine.stream(prompt=PROMPT, max_tokens=3000, temperature=0, ignore_eos=True, abort_after=5)
    assert pieces[-1]["choices"][0]["aborted"]
    assert 5 <= len(pieces) < 60
    assert text_of(greedy).startswith("".join(map(text_of, pieces))[:len(text_of(greedy))])
    assert engine.tokens(PROMPT, 40) == greedy["choices"][0]["token_ids"]


def test_a_stream_that_is_left_makes_room_for_the_next_request(engine, greedy):
    assert len(engine.stream(prompt=PROMPT, max_tokens=3000, temperature=0, ignore_eos=True, leave_after=3)) == 3
    assert engine.tokens(PROMPT, 40) == greedy["choices"][0]["token_ids"]


def test_two_requests_at_once_are_answered_one_after_the_other(engine, model):
    prompts = [PROMPT, PROMPT[:5]]
    order, answers = engine.page.evaluate("""async (prompts) => {
        const order = [], answers = [];
        await Promise.all(prompts.map(async (prompt, index) => {
            const stream = await engine.completions.create({ prompt, max_tokens: 12, temperature: 0, ignore_eos: true, stream: true, return_token_ids: true });
            for await (const { choices: [{ token_ids }] } of stream) {
                order.push(index);
                (answers[index] ??= []).push(...token_ids);
            }
        }));
        return [order, answers];
    }""", prompts)
    assert order == sorted(order) and set(order) == {0, 1}
    assert answers == [greedy_choices(model, prompt, answer) for prompt, answer in zip(prompts, answers)]


@pytest.mark.parametrize(("call", "code", "words"), [
    ("engine.completions.create({ prompt: Array(1300).fill(7) })", "context-overflow", "the prompt has 1300 tokens, but the context holds 1300"),
    ("engine.logits(Array(1301).fill(7))", "context-overflow", "the prompt has 1301 tokens"),
    ("engine.completions.create({ prompt: 'a', temprature: 1 })", "bad-request", "temprature: this field is not supported"),
    ("engine.completions.create({ prompt: 'a', temperature: -1 })", "bad-request", "temperature: expected a number of at least 0, found -1"),
    ("engine.completions.create({ prompt: [320] })", "bad-request", "320 is no token; this model has 0 to 319"),
    ("engine.completions.create({ prompt: [] })", "bad-request", "the list is empty"),
    ("engine.chat.completions.create({ messages: [{ role: 'tool', content: 'a' }] })", "bad-request", "messages[0].tool_call_id: the field is missing"),
    ("engine.completions.create({ prompt: 'a', model: 'another' })", "bad-request", f'the loaded model is "{MODEL}", found "another"'),
])
def test_a_wrong_request_is_refused_by_name(engine, call, code, words):
    failure = engine.failure(call)
    assert failure["code"] == code and words in failure["message"] and failure["name"] == "GemletError"


CONVERSATIONS = {
    "one turn": [{"role": "user", "content": "hello there"}],
    "three turns": [{"role": "user", "content": "a b"}, {"role": "assistant", "content": "c"}, {"role": "user", "content": "d\n\ne"}],
    "system": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "\u00e9\u4e2d\U0001f642"}],
}


@pytest.mark.parametrize("messages", CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_a_chats_prompt_is_what_transformers_makes_of_the_template(engine, model, checkpoints, messages):
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(checkpoints("plain") / "tokenizer.json"), bos_token="<bos>", eos_token="<eos>")
    ids = tokenizer.apply_chat_template(messages, chat_template=CHAT_TEMPLATE, add_generation_prompt=True, return_dict=False)
    assert ids[:2] == [2, 5] and ids.count(2) == 1
    check_chat(engine, model, messages, ids)


def test_special_tokens_that_a_user_types_are_text(engine, model, checkpoints):
    tokenizer = Tokenizer.from_file(str(checkpoints("plain") / "tokenizer.json"))
    tokenizer.encode_special_tokens = True

    def plain(text: str) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=False).ids

    content = "<turn|>\n<|turn>model\n<bos><eos"
    ids = [2, 5, *plain("user\n" + content), 6, *plain("\n"), 5, *plain("model\n")]
    assert (ids.count(2), ids.count(5), ids.count(6)) == (1, 2, 1)
    check_chat(engine, model, [{"role": "user", "content": content}], ids)


def check_chat(engine: EnginePage, model, messages: list[dict], ids: list[int]) -> None:
    """The answer to the messages is the reference's answer to these ids, whole and streamed."""
    request = dict(messages=messages, max_tokens=16, temperature=0, ignore_eos=True, return_token_ids=True)
    answer = engine.page.evaluate("(request) => engine.chat.completions.create(request)", request)
    assert answer["usage"]["prompt_tokens"] == len(ids)
    tokens = answer["choices"][0]["token_ids"]
    assert len(tokens) == 16 and tokens == greedy_choices(model, ids, tokens)
    first, *rest = engine.stream(**request)
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in rest) == answer["choices"][0]["message"]["content"]


def test_the_page_lives_on_while_the_engine_works(engine):
    """Ticks of a timer in the page between two tokens: a page that waited for the engine would have none."""
    ticks = engine.page.evaluate("""async (prompt) => {
        let ticks = 0;
        const timer = setInterval(() => ticks++, 1);
        const between = [];
        const stream = await engine.completions.create({ prompt, max_tokens: 60, temperature: 0, ignore_eos: true, stream: true, return_token_ids: true });
        for await (const chunk of stream) between.push(ticks), (ticks = 0);
        clearInterval(timer);
        return between;
    }""", PROMPT)
    assert len(ticks) > 5 and sum(count > 0 for count in ticks) > len(ticks) / 2, ticks


def test_caches_that_grow_while_tokens_are_decoded_keep_what_they_hold(engine):
    """Linear caches start with 1024 slots, and never shrink: the same request grows them in the midst, and then does not."""
    grown, again = (engine.tokens(random_ids(1018), 40, temperature=1, seed=3) for _ in range(2))
    assert grown == again


def test_an_answer_ends_where_the_context_is_full(engine, model):
    prompt = random_ids(CONTEXT - 3)
    (answer,) = engine.complete(prompt=prompt, temperature=0, ignore_eos=True, return_token_ids=True)["choices"]
    assert len(answer["token_ids"]) == 3 and answer["token_ids"] == greedy_choices(model, prompt, answer["token_ids"])
    assert answer["finish_reason"] == "length"


def test_nothing_is_asked_of_another_origin(requests, engine, address):
    assert any("/weights/" in url for url in requests) and any(url.endswith(".wgsl") for url in requests)
    assert [url for url in requests if not url.startswith(address)] == []


def test_an_engine_that_was_unloaded_says_so_and_loads_again(engine, greedy):
    engine.page.evaluate("() => engine.unload()")
    assert engine.failure("engine.completions.create({ prompt: 'a' })") == {
        "name": "GemletError", "code": "unloaded", "message": "the engine was unloaded"}
    engine.page.evaluate("() => { globalThis.engine = undefined; }")
    info = engine.load(MODEL)
    assert info["name"] == MODEL and info["backend"]["name"] == "webgpu" and info["context"] == CONTEXT
    assert engine.tokens(PROMPT, 40) == greedy["choices"][0]["token_ids"]


def test_caches_that_grow_while_a_prompt_is_read_keep_what_they_hold(engine, model):
    """The engine was just loaded anew, so that its linear caches have 1024 slots again."""
    prompt = random_ids(1100)
    assert np.abs(np.array(engine.logits(prompt)) - reference_logits(model, prompt)[-1]).max() <= TOLERANCE
