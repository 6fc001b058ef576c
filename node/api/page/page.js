// The page of a node: asks for its status now and then, and follows its events.
import { enter, get, ask, events, Refused } from "/api.js";
import { html, svg, bytes, ms, short } from "/draw.js";
import { places } from "/nat.js";
import { Call } from "/lanes.js";

const $ = (id) => document.getElementById(id);
const calls = new Map(), rates = new Map();
const maxCalls = 20, seconds = 60;
let drawnNAT = "", drawnCode = "";
const narrow = matchMedia("(max-width: 40rem)"); // as in page.css

function say(text, bad) {
  $("state").textContent = text;
  $("state").classList.toggle("bad", Boolean(bad));
}

async function drawCode(compact) {
  if (drawnCode === compact) return;
  const code = await get("address/qr");
  $("qr").setAttribute("viewBox", `-2 -2 ${code.size + 4} ${code.size + 4}`);
  $("qr").replaceChildren(svg("path", { d: code.path }));
  drawnCode = compact;
}

// rate keeps what a session sent and received in each of the last seconds.
function rate(s, now) {
  const r = rates.get(s.session) ?? { at: now, sent: s.sent, received: s.received, up: [], down: [] };
  const d = (now - r.at) / 1000;
  if (d > 0) {
    r.up.push((s.sent - r.sent) / d);
    r.down.push((s.received - r.received) / d);
    r.up.splice(0, r.up.length - seconds);
    r.down.splice(0, r.down.length - seconds);
  }
  Object.assign(r, { at: now, sent: s.sent, received: s.received });
  rates.set(s.session, r);
  return r;
}

function spark(r) {
  const most = Math.max(...r.up, ...r.down, 1);
  const line = (list, cls) => svg("polyline", { class: "spark " + cls, points: list.map((v, k) => `${120 - ((list.length - 1 - k) * 120) / (seconds - 1)},${23 - (21 * v) / most}`).join(" ") });
  const now = (r.up.at(-1) ?? 0) + (r.down.at(-1) ?? 0);
  return html("span", { class: "rate" }, svg("svg", { width: 120, height: 24, role: "img", "aria-label": "Throughput" }, line(r.down, "down"), line(r.up, "up")), " " + bytes(Math.round(now)) + "/s");
}

// cell carries the head of its column, for where there are no columns.
function cell(head, attributes, ...children) {
  return html("td", { role: "cell", "data-head": head, ...attributes }, html("span", {}, ...children));
}

function drawPeers(sessions) {
  const now = Date.now();
  for (const n of rates.keys()) if (!sessions.some((s) => s.session === n)) rates.delete(n);
  $("no-peers").hidden = sessions.length > 0;
  document.querySelector("#peers tbody").replaceChildren(...sessions.map((s) => html("tr", { role: "row", "data-peer": s.peer },
    cell("Peer", { title: s.peer }, html("code", {}, short(s.peer)), s.ours ? "" : " (called us)"),
    cell("Path", { class: s.alive ? "alive" : "lost" }, s.alive ? `${s.via || "accepted"} ${s.remote}` : "lost, looking for another", s.by ? `, by node ${short(s.by)}` : "", s.moves ? `, moved ${s.moves} ×` : "", s.forged ? `, forged ${s.forged} ×` : ""),
    cell("Round trip", {}, ms(s.rtt_ms)), cell("Sent", {}, bytes(s.sent)), cell("Received", {}, bytes(s.received)), cell("Throughput", {}, spark(rate(s, now))))));
}

async function refresh() {
  const st = await get("status");
  document.querySelector("main").hidden = false;
  const missing = [st.health.broker && "no signalling broker", st.health.stun && "no STUN server"].filter(Boolean).join(", ");
  say(missing ? `Running, but ${missing} answers.` : `Running since ${new Date(st.since).toLocaleTimeString()}.`, missing);
  $("compact").textContent = st.address.compact || st.address.address;
  $("id").textContent = st.address.id;
  $("brokers").replaceChildren(...st.brokers.map((b) => html("li", { class: b.open ? "up" : "down" }, (b.endpoint || b.broker) + (b.rtt_ms ? `, ${ms(b.rtt_ms)}` : ""))));
  const nat = JSON.stringify(st.interfaces);
  if (nat !== drawnNAT) {
    $("nat").replaceChildren(...places(st.interfaces, narrow.matches));
    drawnNAT = nat;
  }
  drawPeers(st.sessions);
  await drawCode($("compact").textContent);
}

function happened(e) {
  if (e.event === "call") {
    const c = new Call(e);
    calls.set(e.call, c);
    $("calls").prepend(c.element);
    while (calls.size > maxCalls) {
      const [oldest, gone] = calls.entries().next().value;
      gone.element.remove();
      calls.delete(oldest);
    }
  }
  const c = calls.get(e.call);
  if (c && e.event === "step") c.step(e);
  if (c && e.event === "call_ended") c.finish(e);
  if (c) c.draw(Date.now(), narrow.matches);
  $("no-calls").hidden = calls.size > 0;
}

async function follow() {
  let last = 0, begun = "";
  for (;;) {
    try {
      await events(last, (id, e) => {
        if (e.event === "started" && begun && begun !== e.at) { calls.clear(); $("calls").replaceChildren(); } // another run
        if (e.event === "started") begun = e.at;
        last = id;
        happened(e);
      });
    } catch (err) {
      if (err instanceof Refused) return;
    }
    await new Promise((done) => setTimeout(done, 1000));
  }
}

narrow.addEventListener("change", () => { // a phone was turned
  drawnNAT = "";
  for (const c of calls.values()) c.draw(Date.now(), narrow.matches);
});

$("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText($("compact").textContent);
  $("copy").textContent = "Copied";
});

// A ping shows the call that leads to it; the connection is closed again.
$("open").addEventListener("submit", async (submit) => {
  submit.preventDefault();
  $("opened").textContent = "calling…";
  try {
    const c = await (await ask("connections", { method: "POST", body: JSON.stringify({ target: $("target").value.trim(), echo: true }) })).json();
    const path = "connections/" + c.name;
    const begun = performance.now();
    await ask(path + "/send", { method: "POST", body: "ping" });
    await ask(path + "/receive?timeout_ms=30000", { method: "POST" });
    $("opened").textContent = `${short(c.peer)} answers in ${ms(performance.now() - begun)}, by ${c.via}`;
    await ask(path, { method: "DELETE" });
  } catch (err) {
    $("opened").textContent = err.message;
  }
});

try {
  await enter();
  await refresh();
  follow();
  setInterval(() => {
    refresh().catch((err) => say(err instanceof Refused ? err.message + '. Run "sallyport status --open" for a new link.' : "The node does not answer.", true));
    for (const c of calls.values()) if (!c.end) c.draw(Date.now(), narrow.matches);
  }, 1000);
} catch (err) {
  say(err.message + '. Run "sallyport status --open" for a link.', true);
}
