/** The sampling of steps that compute no answer. */

import type { Sampling } from "./backend";

export const GREEDY: Sampling = { temperature: 0, top_k: 0, top_p: 1, min_p: 0, seed: 0, stop: [] };
