// Starts GraphiQL on this service's own endpoint, with the session's cookie.
"use strict";

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
  signedOut.hidden = response.status !== 401;
  const text = await response.text();
  try {
    const answer = JSON.parse(text);
    if ("data" in answer || "errors" in answer) return answer;
    return problem(answer.msg ?? text);
  } catch {
    return problem(`${response.status} ${response.statusText}: ${text}`);
  }
}

// GraphiQL shows whatever looks like an answer; what it is given to catch it prints as a stack.
function problem(message) {
  return { errors: [{ message }] };
}

async function fetcher(request, options) {
  try {
    return await post(request, options);
  } catch {
    return problem("The service cannot be reached.");
  }
}

function lastFullMonth() {
  const now = new Date();
  const month = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - 1));
  return month.toISOString().slice(0, 7);
}

// Where GraphiQL finds what it opens with; given as properties, variables do not survive a reload.
function openWith(query, variables) {
  localStorage.setItem("graphiql:query", query);
  localStorage.setItem("graphiql:variables", variables);
}

// A link may carry a query, which gets a tab of its own; a first visit gets the example.
async function chooseQuery() {
  const address = new URLSearchParams(location.search);
  if (address.has("query")) {
    openWith(address.get("query"), address.get("variables") ?? "");
    history.replaceState(null, "", location.pathname);
  } else if (!localStorage.getItem("graphiql:tabState")) {
    const example = await fetch("/static/default.graphql");
    openWith(await example.text(), JSON.stringify({ month: lastFullMonth() }, null, 2));
  }
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
  await chooseQuery();
  const e = React.createElement;
  const options = {
    fetcher,
    defaultQuery: "# Ctrl-Space completes names.\n\n",
    defaultEditorToolsVisibility: "variables",
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
