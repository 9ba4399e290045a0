/** Decides where tables lie, and makes the buffers for it. */

import { FileStore } from "../artifact/file_store";
import type { Manifest } from "../artifact/manifest";
import { StoredRows } from "../artifact/stored_rows";
import type { BackendInfo, EmbeddingsRequest } from "../backend/backend";
import { GemletError } from "../errors";
import { Buffers } from "./buffers";

export interface Placed {
  buffers: Buffers;
  embeddings: BackendInfo["per_layer_embeddings"];
}

/**
 * "auto": GPU memory where it holds the tables, else storage. Throws GemletError "storage" where that is asked for and not there, and
 * "gpu-error" where the GPU has too little memory.
 */
export async function placeTables(device: GPUDevice, manifest: Manifest, request: EmbeddingsRequest): Promise<Placed> {
  const inGpuMemory = (): Promise<Buffers> => Buffers.create(device, manifest, null);
  const inStorage = (store: FileStore): Promise<Buffers> => Buffers.create(device, manifest, new StoredRows(manifest, store));

  if (manifest.tables.length === 0) return { buffers: await inGpuMemory(), embeddings: null };
  if (request === "storage") {
    return { buffers: await inStorage(await FileStore.open()), embeddings: { place: "storage", reason: "asked for" } };
  }
  if (request === "gpu") return { buffers: await inGpuMemory(), embeddings: { place: "gpu", reason: "asked for" } };
  try {
    return { buffers: await inGpuMemory(), embeddings: { place: "gpu", reason: "the GPU has room for them" } };
  } catch (noRoom) {
    if (!(noRoom instanceof GemletError)) throw noRoom;
    const store = await FileStore.open().catch(() => {
      throw noRoom;
    });
    return { buffers: await inStorage(store), embeddings: { place: "storage", reason: noRoom.message } };
  }
}
