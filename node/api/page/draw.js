// Small helpers for elements and drawings. Everything from the node goes in as
// text or as an attribute, never as markup.

const ns = "http://www.w3.org/2000/svg";

export function svg(tag, attributes = {}, ...children) {
  const e = document.createElementNS(ns, tag);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  e.append(...children);
  return e;
}

export function html(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  e.append(...children);
  return e;
}

export function bytes(n) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let k = 0;
  for (; n >= 1000 && k < units.length - 1; k++) n /= 1000;
  return (k ? n.toFixed(1) : n) + " " + units[k];
}

// ms writes milliseconds as people read them: above a second, in seconds.
export function ms(n) {
  if (!n) return "–";
  if (n < 9.95) return n.toFixed(1) + " ms";
  return n < 999.5 ? Math.round(n) + " ms" : (n / 1000).toFixed(1) + " s";
}
export const short = (id) => id.slice(0, 8);
