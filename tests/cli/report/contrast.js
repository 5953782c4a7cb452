for (const one of document.querySelectorAll("details")) one.open = true;
found.dark = matchMedia("(prefers-color-scheme: dark)").matches;
const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
const light = ([r, g, b]) => {
  const [x, y, z] = [r, g, b].map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
};
const ground = (one) => {
  for (let at = one; at; at = at.parentElement) {
    const colour = channels(getComputedStyle(at).backgroundColor);
    if (colour.length === 3 || colour[3] > 0) return colour;
  }
};
found.low = [];
found.texts = 0;
const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walk.nextNode()) {
  const one = walk.currentNode.parentElement;
  if (walk.currentNode.data.trim() === "" || !one.checkVisibility() || one.closest("script, style, noscript, title")) continue;
  const style = getComputedStyle(one);
  const colour = one instanceof SVGElement ? style.fill : style.color;
  const [a, b] = [light(channels(colour)), light(ground(one))];
  const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  found.texts++;
  if (contrast < 4.5) found.low.push([walk.currentNode.data.slice(0, 40), colour, contrast]);
}
const named = (one) => one.labels?.length > 0 || one.ariaLabel || one.textContent.trim() !== "";
found.unnamed = [...document.querySelectorAll("input, select, button, [role=img], [role=grid], [role=region]")]
  .filter((one) => !named(one)).map((one) => one.outerHTML.slice(0, 80));
found.without_alternative = [...document.images].filter((one) => one.alt === "").length;
found.curve = document.querySelector(".curve svg").getAttribute("aria-label");
found.steps = [...document.querySelectorAll(".curve .mark .tick")].map((one) => one.textContent);
found.wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
