/** Small texts that the browser keeps for this site. A browser that keeps none, as by a policy, throws: then nothing is remembered. */

/** The page's folder. Other sites of the same origin have others, and so keep their own. */
export const SITE = new URL(".", document.baseURI).href;

/** "localStorage": for all tabs, and for good. "sessionStorage": for one tab, also when it is loaded again. */
type Place = "localStorage" | "sessionStorage";

/** Null where there is none. */
export function recall(place: Place, name: string): string | null {
  try {
    return globalThis[place].getItem(`gemlet ${name} ${SITE}`);
  } catch {
    return null;
  }
}

/** Undefined drops it. */
export function remember(place: Place, name: string, text: string | undefined): void {
  try {
    if (text === undefined) globalThis[place].removeItem(`gemlet ${name} ${SITE}`);
    else globalThis[place].setItem(`gemlet ${name} ${SITE}`, text);
  } catch {}
}
