/** Numbers and names for people. */

import type { BackendName } from "../backend/backend";

export const BACKENDS: Record<BackendName, string> = { webgpu: "WebGPU", wasm: "WebAssembly" };

const BYTES = ["B", "KB", "MB", "GB"];

/** Decimal units, as browsers and stores show downloads. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < BYTES.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value >= 100 || unit === 0 ? value.toFixed(0) : value.toFixed(1)} ${BYTES[unit]}`;
}

/** 268098176 gives "268 M". */
export function formatCount(count: number): string {
  if (count >= 1e9) return `${(count / 1e9).toFixed(2)} B`;
  if (count >= 1e6) return `${(count / 1e6).toFixed(0)} M`;
  return count.toLocaleString("en");
}

/** "sliding_window" gives "Sliding window", "kv_layers" gives "KV layers". */
export function formatKey(key: string): string {
  const words = key.replaceAll("_", " ").replace(/\bkv\b/, "KV");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

export function formatSpeed(tokens: number, tokensPerSecond: number, firstTokenMs: number): string {
  const parts = [`${tokens} ${tokens === 1 ? "token" : "tokens"}`];
  if (tokensPerSecond > 0) parts.push(`${tokensPerSecond.toFixed(1)} tokens/s`);
  parts.push(`first token after ${(firstTokenMs / 1000).toFixed(firstTokenMs < 10_000 ? 2 : 1)} s`);
  return parts.join(" · ");
}

/** The address where a browser may go by a link that a model's maker has written; undefined where it is none of the web, such as `javascript:`. */
export function webAddress(text: string): string | undefined {
  if (!URL.canParse(text)) return undefined;
  const { protocol, href } = new URL(text);
  return protocol === "https:" || protocol === "http:" ? href : undefined;
}

/** Text with a capital at its beginning, where that is a word and no name such as `max_tokens` or `http:`. */
export function sentence(text: string): string {
  return /^\p{Ll}+(?=[\s,]|$)/u.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text;
}
