/** What `import … from "./gemlet.js"` gives. */

export { Engine, type LoadOptions } from "./engine/engine";
export type { EngineInfo } from "./engine/core";
export type { Progress } from "./engine/load";
export type * from "./engine/openai";
export { type ErrorCode, GemletError } from "./errors";
