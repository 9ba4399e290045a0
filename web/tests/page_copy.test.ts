/** What the service worker keeps: the build's own files and nothing else. */

import { beforeEach, describe, expect, test, vi } from "vitest";
import { sha256 } from "../src/artifact/hash";
import { PageCopy } from "../src/offline/page_copy";
import { FakeCaches } from "./fake_caches";

const SCOPE = "https://site.test/chat/";
const ENTRY = "assets/index-abc.js";
const PAGE = `<!doctype html><script type="module" src="./${ENTRY}"></script><gemlet-app></gemlet-app></html>\n`;
const FILES: Record<string, [text: string, type: string]> = {
  "": [PAGE, "text/html; charset=utf-8"],
  [ENTRY]: ["start();", "text/javascript"],
  "assets/index-abc.css": ["body {}", "text/css"],
  "icon.png": ["\u0089PNG", "image/png"],
};
const PORTAL = "<!doctype html><title>Please log in</title></html>";

type Answer = () => Response | Promise<Response>;

let answers: Map<string, Answer>;
let asked: [file: string, cache: RequestCache][];
let caches: FakeCaches;
let copy: PageCopy;

const says = (text: string, type = "", init: ResponseInit = {}): Answer => () => new Response(text, { ...init, headers: { "Content-Type": type } });
const kept = async (): Promise<Record<string, string>> => {
  const cache = await caches.open(`gemlet ${SCOPE}`);
  const texts = (await cache.keys()).map(async ({ url }) => [url.slice(SCOPE.length), await (await cache.match(url))!.text()] as const);
  return Object.fromEntries(await Promise.all(texts));
};
const texts = Object.fromEntries(Object.entries(FILES).map(([file, [text]]) => [file, text]));

beforeEach(async () => {
  answers = new Map(Object.entries(FILES).map(([file, [text, type]]) => [file, says(text, type)]));
  asked = [];
  caches = new FakeCaches();
  vi.stubGlobal("caches", caches);
  vi.stubGlobal("fetch", async ({ url, cache }: Request) => {
    const file = url.slice(SCOPE.length);
    asked.push([file, cache]);
    const answer = answers.get(file);
    if (!answer) throw new TypeError("Failed to fetch");
    return answer();
  });
  const hashes = Object.entries(FILES).map(async ([file, [text]]) => [file, await sha256(new TextEncoder().encode(text))] as const);
  copy = new PageCopy(SCOPE, { entry: ENTRY, hashes: Object.fromEntries(await Promise.all(hashes)) });
});

const request = (file: string): Request => new Request(SCOPE + file);

describe("installing", () => {
  test("keeps the build's files, with the headers that they came with, but not those of the transfer", async () => {
    answers.set(ENTRY, () => new Response("start();", { headers: { "Content-Type": "text/javascript", "X-Policy": "same", "Content-Encoding": "br", "Content-Length": "3" } }));
    await copy.install();
    expect(await kept()).toEqual(texts);
    const { headers } = (await (await caches.open(`gemlet ${SCOPE}`)).match(SCOPE + ENTRY))!;
    expect(Object.fromEntries(headers)).toEqual({ "content-type": "text/javascript", "x-policy": "same" });
  });

  test.each<[string, string, Answer, string]>([
    ["a portal's page for a script", ENTRY, says(PORTAL, "text/html"), "expected the type javascript"],
    ["a portal's page that says it is a script", ENTRY, says(PORTAL, "text/javascript"), "not those of the build"],
    ["the right script of a type that browsers refuse", ENTRY, says("start();", "text/plain"), "expected the type javascript"],
    ["a script cut short", ENTRY, says("start(", "text/javascript"), "not those of the build"],
    ["nothing", ENTRY, says("", "text/javascript"), "not those of the build"],
    ["a part of a script", ENTRY, says("start();", "text/javascript", { status: 206 }), "expected status 200, found 206"],
    ["an answer that nobody may read", ENTRY, () => Response.error(), "expected status 200, found 0"],
    ["an error", "icon.png", says("\u0089PNG", "image/png", { status: 503 }), "expected status 200, found 503"],
    ["a portal's page for a picture", "icon.png", says(PORTAL, "text/html"), "not those of the build"],
    ["a portal's page for the page", "", says(PORTAL, "text/html"), "the page: its bytes"],
    ["the page of another build", "", says(PAGE.replace("abc", "def"), "text/html"), "the page: its bytes"],
    ["a page cut short", "", says(PAGE.slice(0, -10), "text/html"), "the page: its bytes"],
    ["a page that is none", "", says(PAGE, "text/plain"), "the page: expected the type"],
  ])("keeps nothing where it is given %s, and what was there works on", async (_, file, answer, told) => {
    const cache = await caches.open(`gemlet ${SCOPE}`);
    await cache.put(`${SCOPE}assets/old.js`, new Response("old"));
    answers.set(file, answer);
    await expect(copy.install()).rejects.toThrow(told);
    expect(await kept()).toEqual({ "assets/old.js": "old" });
    expect(await (await copy.answer(request("assets/old.js"), () => undefined))!.text()).toBe("old");
  });

  test("works when it is tried again", async () => {
    answers.set(ENTRY, says(PORTAL, "text/html"));
    await expect(copy.install()).rejects.toThrow();
    answers.set(ENTRY, says("start();", "text/javascript"));
    await copy.install();
    expect(await kept()).toEqual(texts);
  });

  test("asks past the HTTP cache for what was wrong in it", async () => {
    const [wrong, right] = [says(PORTAL, "text/javascript"), says("start();", "text/javascript")];
    answers.set(ENTRY, () => (asked.at(-1)![1] === "reload" ? right() : wrong()));
    await copy.install();
    expect(asked.filter(([file]) => file === ENTRY)).toEqual([[ENTRY, "no-cache"], [ENTRY, "reload"]]);
    expect(await kept()).toEqual(texts);
  });

  test("keeps a page that its host has written into, if it starts this build", async () => {
    const written = PAGE.replace("<gemlet-app>", '<script src="/count.js"></script><gemlet-app>');
    answers.set("", says(written, "text/html"));
    await copy.install();
    expect(await kept()).toEqual({ ...texts, "": written });
  });
});

describe("a request", () => {
  const answerOf = async (file: string): Promise<string> => {
    const work: Promise<unknown>[] = [];
    const answer = await copy.answer(request(file), (each) => work.push(each));
    await Promise.all(work);
    return answer!.text();
  };
  const MODEL = "models/m/model.json";

  test("for an asset is answered from what is kept, for the page from the network, which does not replace what is kept", async () => {
    await copy.install();
    const next = PAGE.replace("abc", "def");
    answers.set("", says(next, "text/html"));
    answers.delete(ENTRY);
    expect([await answerOf(""), await answerOf(ENTRY)]).toEqual([next, "start();"]);
    answers.clear();
    expect(await answerOf("index.html?model=m")).toBe(PAGE);
  });

  test("for a model's file keeps the newest, but nothing that is HTML or a part, and weights never", async () => {
    answers.set(MODEL, says("{}", "application/json"));
    expect(await answerOf(MODEL)).toBe("{}");
    for (const wrong of [says(PORTAL, "text/html"), says("{", "application/json", { status: 206 }), says("no", "text/plain", { status: 500 })]) {
      answers.set(MODEL, wrong);
      await answerOf(MODEL);
    }
    answers.clear();
    expect(await answerOf(MODEL)).toBe("{}");
    expect(copy.answer(request("models/m/weights/0.bin"), () => undefined)).toBeUndefined();
  });

  test("goes to the network where the browser cannot read what it keeps", async () => {
    vi.stubGlobal("caches", { open: async () => Promise.reject(new DOMException("denied", "SecurityError")) });
    expect(await answerOf(ENTRY)).toBe("start();");
  });

  test("that is none of the page's is left alone", () => {
    for (const url of ["https://site.test/other/", "https://other.test/", `${SCOPE}constructor`]) expect(copy.answer(new Request(url), () => undefined)).toBeUndefined();
    expect(copy.answer(new Request(SCOPE, { method: "POST" }), () => undefined)).toBeUndefined();
  });

  test("drops assets of earlier builds once no page uses them", async () => {
    const cache = await caches.open(`gemlet ${SCOPE}`);
    for (const file of ["assets/old.js", MODEL]) await cache.put(SCOPE + file, new Response(file));
    await copy.install();
    await copy.dropOld();
    expect(await kept()).toEqual({ ...texts, [MODEL]: MODEL });
  });
});
