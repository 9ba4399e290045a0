/** What the browser says of its storage for the site. In a frame without an origin, in private windows and by some policies it says nothing. */

/** Asks the browser not to clear by itself what it keeps for the site. Only a page can ask; the browser may ask the visitor, or refuse. */
export function askToPersist(): void {
  void asked((storage) => storage.persist?.());
}

/** Whether the browser has promised that. */
export async function isPersistent(): Promise<boolean> {
  return (await asked((storage) => storage.persisted?.())) ?? false;
}

/** Bytes that the site may still keep; infinite where the browser does not say. */
export async function freeBytes(): Promise<number> {
  const { quota = Infinity, usage = 0 } = (await asked((storage) => storage.estimate?.())) ?? {};
  return Math.max(0, quota - usage);
}

/** Undefined where the browser has no answer. */
async function asked<T>(question: (storage: StorageManager) => Promise<T> | undefined): Promise<T | undefined> {
  try {
    const { storage } = globalThis.navigator as Partial<Navigator>;
    return storage && (await question(storage));
  } catch {
    return undefined;
  }
}
