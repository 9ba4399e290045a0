"""The npm package in a browser, from a host of its own."""
from compiler.serve import serving
from tests.fixtures.wasm_models import MODEL


def test_the_engine_of_the_package_answers(browser, npm_package, wasm_address):
    (npm_package / "blank.html").write_text("<!doctype html><title>blank</title>")
    page = browser.new_page()
    with serving(npm_package) as address:
        page.goto(address + "blank.html")
        ids = page.evaluate("""async (folder) => {
            const { Engine } = await import("./gemlet.js");
            const engine = await Engine.load(folder, { backend: "wasm" });
            const answer = await engine.completions.create({ prompt: [5, 6, 7], max_tokens: 4, temperature: 0, ignore_eos: true, return_token_ids: true });
            await engine.unload();
            return answer.choices[0].token_ids;
        }""", f"{wasm_address}models/{MODEL}/")
        assert len(ids) == 4
    page.close()
