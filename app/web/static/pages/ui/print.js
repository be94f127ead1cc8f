// @ts-check
// The header and footer of printed pages.
import { useEffect } from "../preact.js";

const sheet = new CSSStyleSheet();

/**
 * Set the header and footer of printed pages; the page number is added.
 * @param {string} header
 * @param {string} footer
 */
export function usePrintMargins(header, footer) {
  useEffect(() => {
    const style = `font: 9px Inter, sans-serif; color: #333;`;
    sheet.replaceSync(`@page {
      @top-left { content: ${JSON.stringify(header)}; ${style} }
      @top-right { content: counter(page) " / " counter(pages); ${style} }
      @bottom-left { content: ${JSON.stringify(footer)}; ${style} }
    }`);
    if (!document.adoptedStyleSheets.includes(sheet)) document.adoptedStyleSheets.push(sheet);
  }, [header, footer]);
}
