// The timeline of a call: a lane for each strategy, a bar for as long as it is at
// work, a dot for each step.
import { svg, html, ms, short } from "/draw.js";

const lanes = ["signalling", "lan", "direct", "reverse", "punch", "relay"];
const left = 90, height = 24;

// chain is all of an error, for whoever asks, where a step tells but its cause.
function chain(s) {
  return s.error && s.error !== s.what ? [html("details", { class: "chain" }, html("summary", {}, "in full"), s.error)] : [];
}

export class Call {
  constructor(e) {
    this.id = e.call;
    this.peer = e.peer;
    this.purpose = e.purpose;
    this.begun = Date.parse(e.at);
    this.steps = [];
    this.end = null;
    this.element = html("article", { class: "call", "data-call": e.call });
    // Made once, and only filled anew: it may be open, and have the focus.
    this.list = html("ol");
    this.head = html("div");
    this.element.append(this.head, html("details", {}, html("summary", {}, "Every step"), this.list));
  }

  step(e) { this.steps.push(e); }
  finish(e) { this.end = e; }

  draw(now, narrow) {
    const width = narrow ? 250 : 660;
    const took = this.end ? this.end.ms : Math.max(now - this.begun, ...this.steps.map((s) => s.ms), 1);
    const scale = width / Math.max(took, 1);
    const used = lanes.filter((l) => this.steps.some((s) => (s.strategy || "signalling") === l));
    const g = svg("svg", { viewBox: `0 0 ${left + width + 10} ${Math.max(used.length, 1) * height + 22}`, role: "img", "aria-label": "Timeline of the call to " + short(this.peer) });
    used.forEach((lane, k) => {
      const y = k * height;
      const steps = this.steps.filter((s) => (s.strategy || "signalling") === lane);
      const last = steps[steps.length - 1];
      const over = last.what.startsWith("ended: "), failed = over && !last.what.startsWith("ended: not tried: ");
      const won = this.end && this.end.via === lane && !this.end.error;
      const from = steps[0].ms, to = won ? took : over || lane === "signalling" ? last.ms : took;
      g.append(svg("text", { x: 0, y: y + 16 }, lane + (won ? " ✓" : failed ? " ✗" : over ? " –" : "")), // what colours say, too
        svg("rect", { class: "lane", x: left, y: y + 3, width, height: height - 6, rx: 4 }),
        svg("rect", { class: "bar" + (won ? " won" : failed ? " failed" : ""), "data-lane": lane, x: left + from * scale, y: y + 5, width: Math.max((to - from) * scale, 3), height: height - 10, rx: 3 }));
      for (const s of steps) {
        g.append(svg("circle", { class: "dot", cx: left + Math.min(s.ms, took) * scale, cy: y + height / 2, r: 3 }, svg("title", {}, `${ms(s.ms)}: ${s.what}`)));
      }
    });
    const y = used.length * height + 14;
    g.append(svg("text", { class: "soft", x: left, y }, "0"), svg("text", { class: "soft", x: left + width, y, "text-anchor": "end" }, ms(took)));
    const why = { connect: "", rescue: ", to rescue a session", improve: ", for something better than a relay", relay: ", for a circuit" }[this.purpose] ?? "";
    const how = !this.end ? "under way" : this.end.error ? this.end.what : `connected by ${this.end.via} in ${ms(this.end.ms)}`;
    const all = this.end?.error ? [...this.steps, { ...this.end, strategy: "in the end" }] : this.steps;
    this.list.append(...all.slice(this.list.children.length).map((s) => html("li", {}, `${ms(s.ms)} ${s.strategy || "signalling"}: ${s.what}`, ...chain(s))));
    this.head.replaceChildren(html("h3", {}, `To ${short(this.peer)}${why}`), html("p", { class: "how" + (this.end?.error ? " bad" : "") }, how), g);
  }
}
