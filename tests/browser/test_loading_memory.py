"""JavaScript never holds the model: loading takes less than 128 MiB, however many weights there are, from the network and from the browser's store.

What counts is all that JavaScript holds in the page and in the worker, sampled while the real 270M is loaded: objects, strings and
ArrayBuffers, garbage too. The GPU's own memory does not count, nor what the browser needs to bring bytes from the network to it.
"""
from compiler.default_site import NAME
from tests.fixtures.heap_usage import HeapUsage
from tests.fixtures.sites import EnginePage, manifest_of

MEBIBYTE = 2**20
# Two shards of 32 MiB on their way and, once the weights are there, the tokenizer's vocabulary of 262144 pieces.
LIMIT = 128 * MEBIBYTE

START = """(folder) => {
    globalThis.progress = { state: "loading" };
    const onProgress = ({ phase, loaded }) => { progress[phase] = loaded; };
    import("./gemlet.js").then(({ Engine }) => Engine.load(folder, { onProgress })).then(
        () => { progress.state = "loaded"; }, (error) => { progress.state = `${error}`; });
}"""


# A load gives as many samples as the computer has time for; together they are to be so many that none of its shards can go unseen.
SAMPLES, MOST_LOADS = 20, 5


def load_once(context, address: str, weights: int, source: str) -> tuple[HeapUsage, int]:
    """What a load took, and how many samples of the worker came while weights were on their way from `source`."""
    engine = EnginePage(context, address)
    usage = HeapUsage(engine.page)
    requests: list[str] = []
    engine.page.on("request", lambda request: requests.append(request.url))
    engine.page.evaluate(START, f"models/{NAME}/")
    progress, samples = {"state": "loading"}, 0
    while progress["state"] == "loading":
        usage.sample()
        if 0 < progress.get("weights", 0) < weights:
            samples = usage.worker_samples
        progress = engine.page.evaluate("progress")
    engine.close()
    assert progress["state"] == "loaded" and progress["weights"] == weights
    assert any("/weights/" in url for url in requests) == (source == "network")
    assert usage.page_peak + usage.worker_peak < LIMIT, f"{source}: {usage.page_peak / MEBIBYTE:.0f} + {usage.worker_peak / MEBIBYTE:.0f} MiB"
    return usage, samples


def test_loading_takes_less_than_128_mib_of_javascripts_memory(browser, default_site, default_address):
    weights = sum(shard["bytes"] for shard in manifest_of(default_site / "models" / NAME)["shards"])
    assert weights > 2 * LIMIT
    context = None
    for source in ("network", "store"):
        samples, worker_peak = 0, 0
        for _ in range(MOST_LOADS):
            if source == "network":
                if context:
                    context.close()
                context = browser.new_context()  # which has stored nothing yet
            usage, taken = load_once(context, default_address, weights, source)
            samples, worker_peak = samples + taken, max(worker_peak, usage.worker_peak)
            if samples > SAMPLES:
                break
        assert samples > SAMPLES
        assert worker_peak > 32 * MEBIBYTE, "the measure misses the shard that the worker holds"
    context.close()
