/** The copy of the page that a browser keeps: the files of one build, and of models all but their weights. */

import { type Built, checkedFile } from "./checked_file";

export class PageCopy {
  private readonly name: string;

  /** `scope`: the site's address. Other sites of the same origin have another, and so a cache of their own. */
  constructor(
    private readonly scope: string,
    private readonly built: Built,
  ) {
    this.name = `gemlet ${scope}`;
  }

  /** Keeps all files of the build, or rejects and keeps none of them; what an earlier build left works on then. */
  async install(): Promise<void> {
    const answers = await Promise.all(Object.keys(this.built.hashes).map(async (file) => [this.scope + file, await this.download(file)] as const));
    const cache = await this.open();
    // The page comes last: with it alone, but not all that it starts, there would be no page.
    for (const [address, answer] of answers.sort(([a], [b]) => b.length - a.length)) await cache.put(address, answer);
  }

  /** Drops assets of earlier builds; no page may use them any more. */
  async dropOld(): Promise<void> {
    const cache = await this.open();
    for (const { url } of await cache.keys()) {
      if (url.startsWith(`${this.scope}assets/`) && !this.isBuilt(url.slice(this.scope.length))) await cache.delete(url);
    }
  }

  /** Undefined where the request is none of the page's. `wait` keeps the worker alive until that work is done. */
  answer(request: Request, wait: (work: Promise<unknown>) => void): Promise<Response> | undefined {
    const address = request.url.replace(/[?#].*/, "");
    if (request.method !== "GET" || request.headers.has("Range") || !address.startsWith(this.scope)) return undefined;
    const file = address.slice(this.scope.length).replace(/^index\.html$/, "");
    if (file.startsWith("assets/")) return this.kept(file).then((answer) => answer ?? fetch(request));
    if (file.startsWith("models/") && !file.includes("/weights/")) {
      return this.fromNetwork(request, file, (answer) => isOfModel(answer) && wait(this.keep(file, answer.clone())));
    }
    // What the network gives of these is not kept: it may be another build's, which this one's assets do not fit.
    return this.isBuilt(file) ? this.fromNetwork(request, file) : undefined;
  }

  /** Past what the HTTP cache may have kept of another network's answer, where that is wrong. */
  private async download(file: string): Promise<Response> {
    const fetched = async (cache: RequestCache): Promise<Response> => checkedFile(file, await fetch(new Request(this.scope + file, { cache })), this.built);
    return fetched("no-cache").catch(() => fetched("reload"));
  }

  private async fromNetwork(request: Request, file: string, take: (answer: Response) => void = () => undefined): Promise<Response> {
    let answer: Response;
    try {
      answer = await fetch(request);
    } catch (error) {
      const kept = await this.kept(file);
      if (kept) return kept;
      throw error;
    }
    take(answer);
    return answer;
  }

  /** Where there is no room, the page only needs its network the next time. */
  private async keep(file: string, answer: Response): Promise<void> {
    try {
      await (await this.open()).put(this.scope + file, answer);
    } catch {}
  }

  /** Undefined, too, where the browser cannot read what it keeps: there is still the network. */
  private async kept(file: string): Promise<Response | undefined> {
    try {
      return await (await this.open()).match(this.scope + file, { ignoreVary: true });
    } catch {
      return undefined;
    }
  }

  private isBuilt(file: string): boolean {
    return Object.hasOwn(this.built.hashes, file);
  }

  private open(): Promise<Cache> {
    return caches.open(this.name);
  }
}

/** A model has no HTML: that is a portal's, or a host's page for what it does not find. */
function isOfModel({ status, headers }: Response): boolean {
  return status === 200 && !/^text\/html/.test(headers.get("Content-Type") ?? "");
}
