// @ts-check
// Instructions for an empty store.
import { html } from "../preact.js";

export function EmptyState() {
  return html`<div class="notice">
    <h1>No data yet</h1>
    <p>Reports appear here with the first event. Choose one way to send some:</p>
    <ol>
      <li><b>Send an event</b> with a key that has the scope <code>events:write</code>
        <pre>${`curl -H "Authorization: $KEY" -H "Content-Type: application/cloudevents+json" \\
  ${location.origin}/api/events -d '{"specversion": "1.0", "id": "1",
  "source": "/hand", "type": "user.upserted", "time": "${new Date().toISOString().slice(0, 19)}Z",
  "data": {"username": "ann", "role": "MEMBER"}}'`}</pre></li>
      <li><b>Import files</b> of people, storage or usage
        <pre>chargeback import --table directory --source /hr people.csv</pre></li>
      <li><b>Connect a platform</b> that is read on a schedule, such as MLflow
        <pre>chargeback sources --help</pre></li>
    </ol>
    <p><button class="button" type="button" onClick=${() => location.reload()}>Reload</button></p>
  </div>`;
}
