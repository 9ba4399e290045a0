/** Whether an answer of the network is the file that the build made: what is kept is kept until the next build, so a wrong one would stay. */

/** What the build knows (web/page_files.mjs). */
export interface Built {
  /** The page's own script. */
  entry: string;
  /** SHA-256 by address below the scope; "" is the page itself. */
  hashes: Record<string, string>;
}

/** What browsers refuse in another type, whatever is in it. */
const TYPES: [suffix: string, type: RegExp][] = [
  [".js", /javascript/],
  [".css", /^text\/css/],
  [".svg", /^image\/svg/],
];
const HTML = /^text\/html/;

/**
 * The answer to keep, read to its end. Throws an Error that says what is wrong with it: a status, a type, or bytes that are not the build's.
 *
 * Hosts may write into pages, such as a script that counts visitors. So the page itself may differ, if it still is a whole one that starts this build.
 */
export async function checkedFile(file: string, answer: Response, { entry, hashes }: Built): Promise<Response> {
  const refuse = (problem: string): never => {
    throw new Error(`${file || "the page"}: ${problem}`);
  };
  if (answer.status !== 200) refuse(`expected status 200, found ${answer.status}`);
  const found = answer.headers.get("Content-Type") ?? "";
  const type = file === "" ? HTML : TYPES.find(([suffix]) => file.endsWith(suffix))?.[1];
  if (type && !type.test(found)) refuse(`expected the type ${type.source}, found "${found}"`);
  const bytes = await answer.arrayBuffer();
  const isBuilt = (await sha256(bytes)) === hashes[file];
  if (!isBuilt && !(file === "" && startsBuild(new TextDecoder().decode(bytes), entry))) refuse("its bytes are not those of the build");
  const headers = new Headers(answer.headers);
  for (const ofTransfer of ["Content-Encoding", "Content-Length"]) headers.delete(ofTransfer);
  // Anew: browsers take no answer that was redirected for a page.
  return new Response(bytes, { headers });
}

function startsBuild(page: string, entry: string): boolean {
  return page.includes(`${entry}"`) && page.includes("<gemlet-app>") && /<\/html>\s*$/.test(page);
}

async function sha256(bytes: ArrayBuffer): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
