/** What `import … from "./gemlet.js"` gives. */

export type { StorageFull } from "./artifact/room";
export type { StoredModel } from "./artifact/stored_models";
export { Engine, type LoadOptions, type StoredModels } from "./engine/engine";
export type { EngineInfo } from "./engine/core";
export type { Progress } from "./engine/load";
export type { StorageInfo } from "./engine/load_weights";
import type * as Checked from "./engine/openai";

export type * from "./engine/openai";
export type { LayerOutcome, SelfTestOptions, SelfTestReport } from "./known_answer/self_test";
/** As the engine takes them: a field that may be absent may also be null. */
export type ChatParams = Checked.OrNull<Checked.ChatParams>;
export type CompletionParams = Checked.OrNull<Checked.CompletionParams>;
export { type ErrorCode, GemletError } from "./errors";
