/** The little of a browser's Cache API that the stores need, in plain memory. */

export class FakeCaches {
  readonly caches = new Map<string, Map<string, { body: Uint8Array<ArrayBuffer>; headers: Headers }>>();

  async open(name: string) {
    if (!this.caches.has(name)) this.caches.set(name, new Map());
    const entries = this.caches.get(name)!;
    const keyOf = (key: string | { url: string }): string => (typeof key === "string" ? key : key.url);
    return {
      keys: async () => [...entries.keys()].map((url) => ({ url })),
      match: async (key: string | { url: string }) => {
        const found = entries.get(keyOf(key));
        return found && new Response(found.body, { headers: found.headers });
      },
      put: async (key: string, response: Response) => void entries.set(key, { body: new Uint8Array(await response.arrayBuffer()), headers: response.headers }),
      delete: async (key: string | { url: string }) => entries.delete(keyOf(key)),
    };
  }

  async keys(): Promise<string[]> {
    return [...this.caches.keys()];
  }
}
