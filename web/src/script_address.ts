/** Addresses of the engine's own scripts, for pages that ask for Trusted Types (`require-trusted-types-for 'script'`). */

interface Policies {
  createPolicy(name: string, rules: { createScriptURL: (address: string) => string }): { createScriptURL(address: string): unknown };
}

/** Made when it is first needed: a page may allow one policy of a name, and no more. */
let policy: ReturnType<Policies["createPolicy"]> | undefined;

/** What browsers take in the place of that text where they start a script; the text itself where they know no Trusted Types. */
export function scriptAddress(address: string): unknown {
  const { trustedTypes } = globalThis as { trustedTypes?: Policies };
  if (!trustedTypes) return address;
  policy ??= trustedTypes.createPolicy("gemlet", { createScriptURL: (each) => each });
  return policy.createScriptURL(address);
}
