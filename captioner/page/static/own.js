// The viewer's own files: beside this one on a server; in a saved page, within the page.

const within = globalThis.document?.querySelector("script#caption-viewer-files")?.textContent;

/** What has been read, by name. @type {Record<string, string>} */
export const FILES = within ? JSON.parse(within) : {};

/** @param {string} name of a file, from this one's folder @returns {Promise<string>} */
export async function readOwn(name) {
  FILES[name] ??= await fetchOwn(name);
  return FILES[name];
}

/** @param {string} name as of `readOwn` @returns {Promise<string>} @throws {Error} if the server does not give it */
export async function fetchOwn(name) {
  const response = await fetch(new URL(name, import.meta.url));
  if (!response.ok) throw new Error(`${name}: ${response.status}`);
  return response.text();
}
