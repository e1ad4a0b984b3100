// What the browser keeps on the visitor's own device: the last photo, with its captions.
//
// Where there is no IndexedDB, as in some private windows, or no room in it, nothing is kept. Each
// method ends well in any case.

/** @typedef {import("./state.js").ViewerState} ViewerState */

/**
 * @typedef {object} KeptPhoto
 * @property {string} of the photo, as the server named it
 * @property {string} name of its file, as the visitor knows it
 * @property {File | null} file the visitor's own photo
 * @property {string | null} example the id of an example, of which the page has the photo
 */

/**
 * The part of a viewer's state that is kept with a photo.
 * @typedef {Pick<ViewerState, "captions" | "finder" | "shown" | "history" | "current" | "appearance">} Story
 */

const DATABASE = "caption-viewer";
const STORE = "last";
const FORMAT = 1; // of what is kept: another release's may be something else
export const MAX_PHOTO_BYTES = 4 * 1024 * 1024;
export const MAX_AGE_MS = 24 * 60 * 60 * 1000;
const MAX_HISTORY = 20;

/** @param {ViewerState} state */
export function storyOf({ photoId, captions, finder, sight: { shown, history, current }, appearance }) {
  return { of: photoId, captions, finder, shown, history: history.slice(-MAX_HISTORY), current, appearance };
}

export class Memory {
  /** Writes and reads follow one another. @type {Promise<any>} */
  #last = Promise.resolve(null);

  /** Keep a photo and its story in place of those before, unless it is too large. @param {KeptPhoto} photo @param {Story & {of: unknown}} story */
  keep(photo, story) {
    return this.#run("readwrite", (store) => {
      store.clear();
      if ((photo.file?.size ?? 0) > MAX_PHOTO_BYTES) return;
      store.put({ ...photo, format: FORMAT, at: Date.now() }, "photo");
      store.put(story, "story");
    });
  }

  /** Keep a later story of the photo that is kept, if it is still this one. @param {Story & {of: unknown}} story */
  keepStory(story) {
    return this.#run("readwrite", (store) => {
      const kept = store.get("photo");
      kept.onsuccess = () => {
        if (kept.result?.of === story.of) store.put(story, "story");
      };
    });
  }

  /** What is kept, if it is whole and not too old. @returns {Promise<{photo: KeptPhoto, story: Story} | null>} */
  async recall() {
    const read = await this.#run("readonly", (store) => [store.get("photo"), store.get("story")]);
    const [photo, story] = read?.map((request) => request.result) ?? [];
    if (photo?.format !== FORMAT || Date.now() - photo.at > MAX_AGE_MS) {
      if (photo) void this.forget();
      return null;
    }
    if (!story?.shown || story.of !== photo.of) return null;
    delete story.of;
    return { photo, story };
  }

  forget() {
    return this.#run("readwrite", (store) => store.clear());
  }

  /**
   * @template T
   * @param {IDBTransactionMode} mode
   * @param {(store: IDBObjectStore) => T} work
   * @returns {Promise<T | null>} what `work` gave, once it is done; null where it cannot be
   */
  #run(mode, work) {
    this.#last = this.#last.then(() => transact(mode, work)).catch(() => null);
    return this.#last;
  }
}

/**
 * @template T
 * @param {IDBTransactionMode} mode
 * @param {(store: IDBObjectStore) => T} work
 */
async function transact(mode, work) {
  const opening = indexedDB.open(DATABASE);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
  const database = await new Promise((resolve, reject) => {
    opening.onsuccess = () => resolve(opening.result);
    opening.onerror = () => reject(opening.error);
  });
  try {
    const transaction = database.transaction(STORE, mode);
    const result = work(transaction.objectStore(STORE));
    await new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error);
    });
    return result;
  } finally {
    database.close();
  }
}
