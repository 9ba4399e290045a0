/** What `import … from "./gemlet.js"` gives. */

export type { StorageFull } from "./artifact/room";
export type { StoredModel } from "./artifact/stored_models";
export { Engine, type LoadOptions, type StoredModels } from "./engine/engine";
export type { EngineInfo } from "./engine/core";
export type { Progress } from "./engine/load";
export type { StorageInfo } from "./engine/load_weights";
export type * from "./engine/openai";
export { type ErrorCode, GemletError } from "./errors";
