// @ts-check
// The address holds the state of a page, so that links, reload and the back button work.
import { useEffect, useState } from "./preact.js";

const PAGES = /^\/($|months\/|licences$|close$|statements$)/;

/** @typedef {{ path: string, parameters: URLSearchParams }} Address */

/** @returns {Address} */
function currentAddress() {
  return { path: location.pathname, parameters: new URLSearchParams(location.search) };
}

/**
 * Open another page without loading a document.
 * @param {string} address
 * @param {{ replace?: boolean }} [options]  With `replace`, the history gets no new entry.
 */
export function navigate(address, options = {}) {
  if (options.replace) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  dispatchEvent(new PopStateEvent("popstate"));
}

/**
 * Return this page's address with changed parameters; null or "" removes a parameter.
 * @param {Record<string, string | null>} changes
 */
export function withParameters(changes) {
  const parameters = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value) parameters.set(name, value);
    else parameters.delete(name);
  }
  const query = parameters.toString();
  return query ? `${location.pathname}?${query}` : location.pathname;
}

/** @returns {Address} */
export function useAddress() {
  const [address, setAddress] = useState(currentAddress);
  useEffect(() => {
    const update = () => setAddress(currentAddress());
    addEventListener("popstate", update);
    document.addEventListener("click", followLink);
    return () => {
      removeEventListener("popstate", update);
      document.removeEventListener("click", followLink);
    };
  }, []);
  return address;
}

/** @param {MouseEvent} event */
function followLink(event) {
  const isPlain =
    event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  const link = event.target instanceof Element ? event.target.closest("a") : null;
  if (!isPlain || event.defaultPrevented || !link || link.target || link.download) return;
  if (link.origin !== location.origin || !PAGES.test(link.pathname)) return;
  event.preventDefault();
  const isSamePage = link.pathname === location.pathname;
  navigate(link.pathname + link.search);
  if (!isSamePage && !link.dataset.keepScroll) scrollTo(0, 0);
}
