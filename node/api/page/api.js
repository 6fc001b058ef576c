// How the page speaks with the node. The one-time link has a ticket behind its
// #; it buys a cookie that scripts can't see, and a key for this tab.

const keyName = "sallyport-key";

export class Refused extends Error {}

export async function enter() {
  const ticket = location.hash.slice(1);
  if (ticket) {
    history.replaceState(null, "", "/");
    const r = await fetch("/v1/login", { method: "POST", body: JSON.stringify({ ticket }) });
    const got = await r.json();
    if (r.ok) sessionStorage.setItem(keyName, got.key);
    else if (!sessionStorage.getItem(keyName)) throw new Refused(got.error);
  }
  if (!sessionStorage.getItem(keyName)) throw new Refused("This page is opened by a link");
}

export async function ask(path, options = {}) {
  const r = await fetch("/v1/" + path, {
    ...options,
    headers: { "Sallyport-Key": sessionStorage.getItem(keyName) },
  });
  if (r.status === 401) {
    sessionStorage.removeItem(keyName);
    throw new Refused("This page's time is over");
  }
  if (!r.ok) throw new Error((await r.json()).error);
  return r;
}

export const get = async (path) => (await ask(path)).json();

// events gives each event to take, from the oldest that the node remembers on,
// for as long as the connection lasts. (An EventSource can't send the key.)
export async function events(after, take) {
  const r = await ask("events?after=" + after);
  const reader = r.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const event = {};
      for (const line of block.split("\n")) {
        const at = line.indexOf(": ");
        if (at > 0) event[line.slice(0, at)] = line.slice(at + 2);
      }
      if (event.data) take(Number(event.id), JSON.parse(event.data));
    }
  }
}
