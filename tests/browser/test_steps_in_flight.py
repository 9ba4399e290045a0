"""Decoding ahead of what the CPU has seen: the same answers as step by step, and little done for nothing after a stop."""
from bench.counting import difference, webgpu_counts
from tests.browser.test_engine import MODEL, PROMPT, STOP_TOKENS

STEPS_IN_FLIGHT = 4  # of web/src/generate/generate.ts
TOKENS = 512
GREEDY = dict(prompt=PROMPT, max_tokens=TOKENS, temperature=0, ignore_eos=True, return_token_ids=True)


def test_few_steps_run_after_a_stop_and_none_of_them_is_shown(loaded):
    """At this temperature all tokens are about as likely, so that a stop token is drawn soon."""
    engine = loaded(MODEL)
    for seed in range(8):
        request = dict(prompt=PROMPT, temperature=50, seed=seed, max_tokens=150, return_token_ids=True)
        whole = engine.complete(ignore_eos=True, **request)["choices"][0]["token_ids"]
        places = [place for place, token in enumerate(whole) if token in STOP_TOKENS]
        if places and places[0] < len(whole) - STEPS_IN_FLIGHT:
            break
    engine.tokens(PROMPT, 1)  # the caches hold the prompt alone then, so that nothing is put aside
    before = webgpu_counts(engine.page)
    ended = engine.complete(**request)
    counts = difference(webgpu_counts(engine.page), before)
    shown = ended["choices"][0]["token_ids"]
    assert shown == whole[:places[0] + 1]
    # One submit for the prompt and one for each token that is shown; what is left ran for nothing.
    assert counts["submits"] - 1 - len(shown) == STEPS_IN_FLIGHT - 1
    assert (counts["writes"], counts["bind_groups"], counts["buffers"]) == (1, 0, 0)


def test_greedy_text_is_the_same_step_by_step_and_ahead(loaded, engine):
    ahead = loaded(MODEL).complete(**GREEDY)["choices"]
    engine.load(MODEL, stepsInFlight=1)
    assert engine.complete(**GREEDY)["choices"] == ahead
    assert len(ahead[0]["token_ids"]) == TOKENS
