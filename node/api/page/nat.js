// What the NATs on the way to the internet map and filter, as a picture: this
// machine, the wall, and two strangers, with an arrow for each thing that gets
// through or does not.
import { svg, html, ms } from "/draw.js";

// facts of a report that decide what the picture shows.
function judge(p) {
  const f = p.tcp.answered ? p.tcp : p.udp;
  const code = p.type_code;
  return {
    wall: code !== 1,
    translates: code >= 3 && code <= 6,
    samePort: f.mapping === "endpoint-independent" || code === 1 || code === 2,
    strangers: code === 1 || code === 3,
    sameAddress: code === 4,
    blocked: code === 7,
    finding: f,
  };
}

// The walls: the first one's left side, and from there to the next one's.
const wall = 352, thick = 12, apart = 22;

// arrow leads from one box to another, or to the wall at which it ends.
function arrow(x1, y1, x2, y2, open, walls, label) {
  const way = Math.sign(x2 - x1);
  const cls = open ? "" : " shut";
  const end = open ? x2 : way > 0 ? wall - 12 : wall + apart * (walls - 1) + thick + 12;
  const y = y1 + ((y2 - y1) * (end - x1)) / (x2 - x1);
  return svg("g", {},
    svg("path", { class: "road" + cls, d: `M${x1} ${y1}L${end} ${y}` }),
    open ? svg("path", { class: "tip", d: `M${end} ${y}l${-9 * way} -5v10z` })
      : svg("path", { class: "road shut", d: `M${end - 5} ${y - 5}l10 10m0 -10l-10 10` }),
    svg("text", { class: "soft", x: 480, y: y1 + ((y2 - y1) * (480 - x1)) / (x2 - x1) - 12, "text-anchor": "middle" }, label));
}

function box(x, y, title, line) {
  return svg("g", {},
    svg("rect", { class: "box", x, y, width: 170, height: 46, rx: 8 }),
    svg("text", { x: x + 85, y: y + 19, "text-anchor": "middle" }, title),
    svg("text", { class: "soft", x: x + 85, y: y + 36, "text-anchor": "middle" }, line));
}

export function picture(p) {
  const j = judge(p);
  const g = svg("svg", { viewBox: "0 0 760 190", role: "img", "aria-label": p.about });
  const outer = p.mapped || p.external || "?";
  g.append(box(4, 72, "This machine", p.local), box(586, 16, "A peer that we dial", j.samePort ? "sees " + outer : "sees a new port"),
    box(586, 128, "A stranger", j.strangers ? "gets in" : j.sameAddress ? "only from a known address" : "does not get in"));
  const levels = Math.max(p.levels || 1, 1), walls = Math.min(levels, 3);
  if (j.wall) {
    for (let k = 0; k < walls; k++) g.append(svg("rect", { class: "wall", x: wall + apart * k, y: 14, width: thick, height: 162, rx: 3 }));
    g.append(svg("text", { class: "soft", x: 346, y: 26, "text-anchor": "end" }, (j.translates ? "NAT" : "firewall") + (levels > 1 ? ` × ${levels}` : "")));
  }
  const mapping = j.blocked ? "blocked" : !j.translates ? "own address" :
    j.samePort ? "one port for all peers" : p.delta.kind === "random" ? "a random port for each peer" : `next port: ${p.delta.kind}` + (p.delta.value ? ` ${p.delta.value > 0 ? "+" : ""}${p.delta.value}` : "");
  g.append(arrow(176, 88, 582, 42, !j.blocked, walls, mapping));
  g.append(arrow(582, 152, 176, 102, j.strangers, walls, j.strangers ? "let in" : p.refusal === "rst" || p.refusal === "icmp" ? "refused (" + p.refusal + ")" : "filtered"));
  return g;
}

export function places(list) {
  return list.map((p) => html("div", { class: "place", "data-type": p.type_code },
    html("p", { class: "label" }, `${p.interface}, ${p.family}, type: ${p.type}`),
    ...(p.type_code ? [picture(p)] : []),
    html("p", {}, p.about),
    ...(p.type_code ? [html("p", { class: "label" }, `TCP: ${p.tcp.answered} of ${p.tcp.asked} servers, ${ms(p.tcp.rtt_ms)}; UDP: ${p.udp.answered} of ${p.udp.asked}, ${ms(p.udp.rtt_ms)}; confidence ${Math.round(p.confidence * 100)} %`)] : [])));
}
