// @ts-check
// The frame of every page: navigation, theme and sign-out.
import { html, useState } from "../preact.js";
import { Icon } from "./icons.js";

const LINKS = [
  { name: "Month", address: "/", matches: /^\/($|months)/ },
  { name: "Licences", address: "/licences", matches: /^\/licences/ },
  { name: "Statements", address: "/statements", matches: /^\/statements/ },
  { name: "Close", address: "/close", matches: /^\/close/ },
];

/**
 * @param {{ path: string, viewer: { organization: string, username: string } | null, children: any }} properties
 */
export function Frame({ path, viewer, children }) {
  return html`<a class="skip button" href="#content">Skip to the content</a>
    <header class="top">
      <div class="top-inner">
        <a class="brand" href="/">
          <img src="/static/icon.svg" alt="" />Chargeback
          ${viewer && html`<span class="organization">${viewer.organization}</span>`}
        </a>
        <nav aria-label="Pages">
          ${LINKS.map(
            ({ name, address, matches }) =>
              html`<a href=${address} aria-current=${matches.test(path) ? "page" : null}>${name}</a>`,
          )}
          <a href="/graphql" target="_self">API</a>
        </nav>
        <div class="top-tools">
          <${ThemeButton} />
          <form method="post" action="/signout">
            <button class="icon-button plain" title=${viewer ? `Sign out ${viewer.username}` : "Sign out"}>
              <${Icon} name="signOut" /><span class="visually-hidden">Sign out</span>
            </button>
          </form>
        </div>
      </div>
    </header>
    <main id="content" tabindex="-1">${children}</main>`;
}

function ThemeButton() {
  const root = document.documentElement;
  const [theme, setTheme] = useState(root.dataset.theme);
  const other = theme === "dark" ? "light" : "dark";
  const toggle = () => {
    localStorage.setItem("chargeback:theme", other);
    root.dataset.theme = other;
    setTheme(other);
  };
  return html`<button class="icon-button plain" type="button" title=${`Use the ${other} theme`} onClick=${toggle}>
    <${Icon} name="theme" /><span class="visually-hidden">Use the ${other} theme</span>
  </button>`;
}
