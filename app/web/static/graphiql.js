// Start GraphiQL on this service's endpoint, with the session's cookie.
"use strict";

const isNarrow = matchMedia("(max-width: 720px)").matches;
const signedOut = document.getElementById("signed-out");

async function post(request, options) {
  const response = await fetch("/graphql", {
    method: "POST",
    credentials: "same-origin",
    headers: {
      accept: "application/graphql-response+json, application/json;q=0.9",
      "content-type": "application/json",
      "x-chargeback-client": "graphiql",
      ...options?.headers,
    },
    body: JSON.stringify(request),
  });
  // An earlier request may be answered later, so a success does not hide the notice.
  if (response.status === 401) signedOut.hidden = false;
  const text = await response.text();
  try {
    const result = JSON.parse(text);
    if ("data" in result || "errors" in result) return result;
    return toErrorResult(result.msg ?? text);
  } catch {
    return toErrorResult(`${response.status} ${response.statusText}: ${text}`);
  }
}

// Return an error as a GraphQL response; GraphiQL prints thrown errors as a stack trace.
function toErrorResult(message) {
  return { errors: [{ message }] };
}

// GraphiQL notices only after a pause that another tab or an edit has changed the operation's name.
function withoutOutdatedName(request) {
  const isDefined = new RegExp(`\\b(query|mutation)\\s+${request.operationName}\\b`);
  return isDefined.test(request.query) ? request : { ...request, operationName: undefined };
}

async function fetcher(request, options) {
  if (request.operationName !== "IntrospectionQuery") document.body.classList.add("answered");
  try {
    return await post(withoutOutdatedName(request), options);
  } catch {
    return toErrorResult("The service cannot be reached.");
  }
}

function monthsAgo(count) {
  const now = new Date();
  const month = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - count));
  return month.toISOString().slice(0, 7);
}

// GraphiQL reads its initial query from here. Variables passed as props would not survive a reload.
function openWith(query, variables) {
  localStorage.setItem("graphiql:query", query);
  localStorage.setItem("graphiql:variables", variables);
}

// A link with a query opens it in a new tab; the first visit opens the examples, each in a tab.
async function chooseTabs() {
  const address = new URLSearchParams(location.search);
  if (address.has("query")) {
    openWith(address.get("query"), address.get("variables") ?? "");
    history.replaceState(null, "", location.pathname);
  } else if (!localStorage.getItem("graphiql:tabState")) {
    return readExamples();
  }
  return undefined;
}

// The examples are those of the documents, about the last full month.
async function readExamples() {
  const [first, others] = await Promise.all([
    fetch("/static/default.graphql").then((answer) => answer.text()),
    fetch("/static/examples.json").then((answer) => answer.json()),
  ]);
  return [first, ...others].map((query) => ({
    query: query.replaceAll("2026-10", monthsAgo(1)).replaceAll("2025-11", monthsAgo(12)),
  }));
}

function signOut() {
  const e = React.createElement;
  return e(
    "form",
    { method: "post", action: "/signout", className: "sign-out" },
    e("span", null, "Chargeback"),
    e("button", { type: "submit" }, "Sign out"),
  );
}

async function start() {
  const e = React.createElement;
  const options = {
    fetcher,
    defaultTabs: await chooseTabs(),
    defaultQuery: "# Ctrl-Space completes names.\n\n",
    defaultEditorToolsVisibility: isNarrow ? false : "variables",
    inputValueDeprecation: true,
    schemaDescription: true,
    shouldPersistHeaders: false,
  };
  const root = ReactDOM.createRoot(document.getElementById("graphiql"));
  root.render(e(GraphiQL, options, e(GraphiQL.Logo, null, signOut())));
}

start().catch((error) => {
  document.querySelector(".loading").textContent = `GraphiQL cannot start: ${error.message}`;
});
