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

// Two layouts: this machine at the left and the others at the right, or, where
// there is no room for that, one above the other. at says where along the way
// the first wall begins; a picture is drawn as if it were wide, and turned.
const layouts = {
  wide: { size: [760, 190], box: 170, self: [4, 72], peer: [586, 16], stranger: [586, 128], at: 352, across: [14, 162],
    out: [176, 88, 582, 42], in: [582, 152, 176, 102], label: (x1, y1, x2, y2) => [480, y1 + ((y2 - y1) * (480 - x1)) / (x2 - x1) - 12] },
  narrow: { size: [360, 300], box: 176, self: [92, 4], peer: [0, 248], stranger: [184, 248], at: 104, across: [6, 348],
    out: [160, 52, 88, 244], in: [272, 244, 200, 52], label: (x1, y1, x2, y2) => [Math.abs(y1 - 244) < 1 ? 268 : 92, 214] },
};
const thick = 12, apart = 22, gap = 12;

// arrow leads from one box to another, or to the wall at which it ends.
function arrow(l, turned, [x1, y1, x2, y2], open, walls, label) {
  const [from, to] = turned ? [y1, y2] : [x1, x2]; // along the way
  const way = Math.sign(to - from);
  const end = way > 0 ? l.at - gap : l.at + apart * (walls - 1) + thick + gap;
  const part = open ? 1 : (end - from) / (to - from);
  const x = x1 + (x2 - x1) * part, y = y1 + (y2 - y1) * part;
  const angle = (Math.atan2(y2 - y1, x2 - x1) * 180) / Math.PI;
  const [lx, ly] = l.label(x1, y1, x2, y2);
  return svg("g", {},
    svg("path", { class: "road" + (open ? "" : " shut"), d: `M${x1} ${y1}L${x} ${y}` }),
    open ? svg("path", { class: "tip", d: "M0 0l-9 -5v10z", transform: `translate(${x} ${y}) rotate(${angle})` })
      : svg("path", { class: "road shut", d: `M${x - 5} ${y - 5}l10 10m0 -10l-10 10` }),
    svg("text", { class: "soft label", x: lx, y: ly, "text-anchor": "middle" }, label));
}

function box(l, [x, y], title, line) {
  return svg("g", {},
    svg("rect", { class: "box", x, y, width: l.box, height: 46, rx: 8 }),
    svg("text", { x: x + l.box / 2, y: y + 19, "text-anchor": "middle" }, title),
    svg("text", { class: "soft", x: x + l.box / 2, y: y + 36, "text-anchor": "middle" }, line));
}

export function picture(p, narrow) {
  const j = judge(p);
  const l = narrow ? layouts.narrow : layouts.wide;
  const g = svg("svg", { viewBox: `0 0 ${l.size.join(" ")}`, role: "img", "aria-label": p.about });
  const outer = p.mapped || p.external || "?";
  g.append(box(l, l.self, "This machine", p.local), box(l, l.peer, "A peer that we dial", j.samePort ? "sees " + outer : "sees a new port"),
    box(l, l.stranger, "A stranger", j.strangers ? "gets in" : j.sameAddress ? "only from a known address" : "does not get in"));
  const levels = Math.max(p.levels || 1, 1), walls = Math.min(levels, 3);
  if (j.wall) {
    const [side, length] = l.across;
    for (let k = 0; k < walls; k++) {
      const along = l.at + apart * k;
      g.append(svg("rect", narrow ? { class: "wall", x: side, y: along, width: length, height: thick, rx: 3 } : { class: "wall", x: along, y: side, width: thick, height: length, rx: 3 }));
    }
    g.append(svg("text", { class: "soft", x: narrow ? 10 : l.at - 6, y: narrow ? l.at - 8 : 26, "text-anchor": narrow ? "start" : "end" }, (j.translates ? "NAT" : "firewall") + (levels > 1 ? ` × ${levels}` : "")));
  }
  const mapping = j.blocked ? "blocked" : !j.translates ? "own address" :
    j.samePort ? "one port for all peers" : p.delta.kind === "random" ? "a random port for each peer" : `next port: ${p.delta.kind}` + (p.delta.value ? ` ${p.delta.value > 0 ? "+" : ""}${p.delta.value}` : "");
  g.append(arrow(l, narrow, l.out, !j.blocked, walls, mapping));
  g.append(arrow(l, narrow, l.in, j.strangers, walls, j.strangers ? "let in" : p.refusal === "rst" || p.refusal === "icmp" ? "refused (" + p.refusal + ")" : "filtered"));
  return g;
}

export function places(list, narrow) {
  return list.map((p) => html("div", { class: "place", "data-type": p.type_code },
    html("p", { class: "label" }, `${p.interface}, ${p.family}, type: ${p.type}`),
    ...(p.type_code ? [picture(p, narrow)] : []),
    html("p", {}, p.about),
    ...(p.type_code ? [html("p", { class: "label" }, `TCP: ${p.tcp.answered} of ${p.tcp.asked} servers, ${ms(p.tcp.rtt_ms)}; UDP: ${p.udp.answered} of ${p.udp.asked}, ${ms(p.udp.rtt_ms)}; confidence ${Math.round(p.confidence * 100)} %`)] : [])));
}
