/** The grammar library keeps one instance of WebAssembly for ever, also one that has trapped: this gives it a function that forgets it. */

const BINDING = "let binding = null;";

/**
 * @param {string} code of @mlc-ai/web-xgrammar/lib/index.js
 * @returns {string} throws Error where it is another version's
 */
export function restartable(code) {
  if (code.split(BINDING).length !== 2) throw new Error(`@mlc-ai/web-xgrammar: expected one "${BINDING}", found another version of the library`);
  return code.replace(BINDING, `${BINDING} exports.restart = () => { binding = null; };`);
}

/** @returns {import("vite").Plugin} */
export function restartableLibrary() {
  return {
    name: "restartable-library",
    enforce: "pre",
    transform: (code, id) => (/web-xgrammar\/lib\/index\.js$/.test(id) ? { code: restartable(code), map: null } : undefined),
  };
}
