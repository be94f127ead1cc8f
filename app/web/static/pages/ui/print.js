// @ts-check
// What stands at the head and foot of every printed sheet.
import { useEffect } from "../preact.js";

const sheet = new CSSStyleSheet();

/**
 * Set the head and the foot of printed sheets, beside the number of the page.
 * @param {string} head
 * @param {string} foot
 */
export function usePrintMargins(head, foot) {
  useEffect(() => {
    const style = `font: 9px Inter, sans-serif; color: #333;`;
    sheet.replaceSync(`@page {
      @top-left { content: ${JSON.stringify(head)}; ${style} }
      @top-right { content: counter(page) " / " counter(pages); ${style} }
      @bottom-left { content: ${JSON.stringify(foot)}; ${style} }
    }`);
    if (!document.adoptedStyleSheets.includes(sheet)) document.adoptedStyleSheets.push(sheet);
  }, [head, foot]);
}
