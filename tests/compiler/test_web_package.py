"""The page's JavaScript is small, and the npm package is complete and typed."""
import gzip
import hashlib
import json
import re
import subprocess

import pytest

from compiler.setup.folders import ENVIRONMENT, REQUIREMENTS, WEB
from compiler.setup.node import ensure_node
from tests.fixtures.npm_package import npm

# Without the grammar engine, which is loaded when a request first needs it.
MOST_BYTES = 400_000
GRAMMAR = re.compile(r"grammar")

CONSUMER = """
import { Engine, GemletError, type ErrorCode, type Progress } from "gemlet";
import "gemlet/gemlet-chat.js";

const bars: Progress[] = [];
const engine: Engine = await Engine.load("/models/m/", { threads: 2, onProgress: (progress) => bars.push(progress) });
const stream = await engine.completions.create({ prompt: "The sea", max_tokens: 5, stream: true });
for await (const chunk of stream) chunk.choices[0]!.text.toUpperCase();
const answer = await engine.chat.completions.create({ messages: [{ role: "user", content: "Hello" }] });
const text: string | null | undefined = answer.choices[0]!.message.content;
const element = document.createElement("gemlet-chat");
element.src = "/models/m/";
element.options = { backend: "wasm" };
const loaded: Engine | undefined = element.engine;
export const code = (error: unknown): ErrorCode | undefined => (error instanceof GemletError ? error.code : undefined);
export { text, loaded };

// @ts-expect-error: a field's name that is mistyped
await engine.completions.create({ promt: "The sea" });
// @ts-expect-error: no such backend
await Engine.load("/models/m/", { backend: "cuda" });
// @ts-expect-error: not the element's own to set
element.options = { signal: new AbortController().signal };
"""


def test_the_javascript_of_the_page_is_below_400_kb():
    sizes = {path.relative_to(WEB / "dist").as_posix(): len(gzip.compress(path.read_bytes())) for path in (WEB / "dist").rglob("*.js")}
    assert {"gemlet.js", "gemlet-chat.js", "service-worker.js"} < set(sizes)
    assert sum(size for name, size in sizes.items() if not GRAMMAR.search(name)) < MOST_BYTES, sizes


def test_the_service_worker_knows_the_hash_of_each_file_that_it_keeps():
    dist = WEB / "dist"
    script = (dist / "service-worker.js").read_text()
    hashes = dict(re.findall(r'\\"([^"\\]*)\\":\\"([0-9a-f]{64})\\"', script))
    files = {"" if path.name == "index.html" else path.relative_to(dist).as_posix(): path for path in dist.rglob("*") if path.suffix in {".js", ".css", ".svg", ".png", ".html", ".webmanifest"}}
    expected = {name: path for name, path in files.items() if "/" not in name and path.suffix != ".js" or name.startswith("assets/") and not GRAMMAR.search(name)}
    assert hashes == {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in expected.items()}


def test_npm_packs_the_engine_the_element_their_workers_and_the_licence(npm_package):
    packed = json.loads(npm(npm_package, "pack", "--dry-run", "--json"))[0]
    files = {file["path"] for file in packed["files"]}
    assert {"gemlet.js", "gemlet-chat.js", "package.json", "README.md", "LICENSE", "THIRD_PARTY_NOTICES.txt", "types/gemlet.d.ts", "types/embed/gemlet_chat.d.ts"} <= files
    kinds = {re.sub(r"-[\w-]{8}\.js$", "", file.removeprefix("assets/")) for file in files if file.startswith("assets/")}
    assert {"engine", "worker", "thread"} <= kinds
    assert packed["version"] == json.loads((WEB / "package.json").read_text())["version"]
    lit = json.loads((npm_package / "package.json").read_text())["dependencies"]["lit"]
    assert lit == json.loads((WEB / "package.json").read_text())["dependencies"]["lit"]


@pytest.mark.parametrize(("module", "resolution"), [("esnext", "bundler"), ("nodenext", "nodenext")])
def test_a_program_that_uses_the_package_is_checked_by_its_types(npm_package, tmp_path, module, resolution):
    modules = tmp_path / "node_modules"
    modules.mkdir()
    (modules / "gemlet").symlink_to(npm_package)
    for name in ("lit", "lit-html", "lit-element", "@lit", "@types"):
        (modules / name).symlink_to(WEB / "node_modules" / name)
    (tmp_path / "package.json").write_text('{ "type": "module" }')
    (tmp_path / "consumer.ts").write_text(CONSUMER)
    options = {"target": "es2023", "module": module, "moduleResolution": resolution, "strict": True, "noEmit": True, "types": [], "preserveSymlinks": True,
               "lib": ["ES2023", "DOM", "DOM.Iterable"]}
    (tmp_path / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "files": ["consumer.ts"]}))
    node = ensure_node(ENVIRONMENT, REQUIREMENTS)
    check = subprocess.run([WEB / "node_modules" / ".bin" / "tsc", "-p", tmp_path], env=node.environment(), capture_output=True, text=True)
    assert (check.returncode, check.stdout) == (0, "")
