// For pages. A browser's EventSource reconnects by itself and sends the id of the last event:
//   import { ask } from "./eventsource.mjs";
//   await ask("https://chat.example.com", { user_id: "user123", message: "Hello" }, (text) => output.append(text));
// EventSource cannot send Authorization: if keys or tokens are configured, use fetch as in node.mjs.

const TRIES = 30;

export async function ask(url, question, onText) {
  // EventSource cannot POST either: this request starts the turn, and is left as soon as EventSource is connected.
  const leaving = new AbortController();
  const started = await fetch(`${url}/chat`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(question),
    signal: leaving.signal,
  });
  if (!started.ok) throw new Error((await started.json()).error.message);
  const turn = url + started.headers.get("Location");

  await new Promise((resolve, reject) => {
    let lastId = "";
    let tries = 0;
    function follow() {
      const source = new EventSource(lastId ? `${turn}?last_event_id=${lastId}` : turn);
      source.onopen = () => leaving.abort();
      source.onmessage = ({ data, lastEventId }) => {
        [lastId, tries] = [lastEventId, 0];
        if (!lastId.endsWith("-end")) return onText(JSON.parse(data).choices[0]?.delta.content ?? "");
        source.close(); // otherwise it would reconnect once more and get a 204
        return data === "[DONE]" ? resolve() : reject(new Error(JSON.parse(data).error.message));
      };
      source.onerror = () => {
        // After a cut it reconnects by itself; after an error status, such as a proxy's 502, it does not.
        if (source.readyState !== EventSource.CLOSED) return;
        if (++tries === TRIES) reject(new Error("the stream cannot be resumed"));
        else setTimeout(follow, 1000);
      };
    }
    follow();
  });
}
