// Draws each figure when it comes into view. Browsers allow few WebGL contexts, so one 3-D panel lives at a time:
// drawing the next puts the last one's picture back. Where there is no WebGL, the pictures of 3-D panels stay.
(() => {
  const { config, night } = JSON.parse(document.getElementById("settings").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const hasDepth = () => {
    const context = document.createElement("canvas").getContext("webgl");
    context?.getExtension("WEBGL_lose_context")?.loseContext();
    return context !== null;
  };
  const isSpatial = (figure) => "spatial" in figure.dataset;
  let figures = [...document.querySelectorAll("figure[data-plot]")];
  if (figures.some(isSpatial) && !hasDepth()) figures = figures.filter((figure) => !isSpatial(figure));
  const shown = new Map(); // of each figure that is drawn, the widths its layouts need and the one it has
  let alive = null;

  const fitting = (figure, widths) => widths.find((least) => least <= figure.clientWidth) ?? 0;

  const described = (figure) => {
    let text = document.getElementById(figure.dataset.plot).textContent;
    if (dark.matches) for (const [day, dusk] of night) text = text.replaceAll(day, dusk);
    return JSON.parse(text);
  };

  const erase = (figure) => {
    Plotly.purge(figure.querySelector(".plot"));
    figure.querySelector(".player")?.remove();
    figure.classList.remove("drawn");
    shown.delete(figure);
  };

  // Buttons of the page in place of Plotly's, which no keyboard reaches.
  const player = (plot, menus) => {
    const row = document.createElement("div");
    row.className = "player";
    for (const { label, args } of menus.flatMap((menu) => menu.buttons)) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = label;
      button.addEventListener("click", () => Plotly.animate(plot, ...args));
      row.append(button);
    }
    return row;
  };

  const draw = (figure) => {
    if (figure.classList.contains("drawn")) return;
    if (isSpatial(figure)) {
      if (alive && alive !== figure) erase(alive);
      alive = figure;
    }
    // The plot needs its place on the page before Plotly measures it.
    figure.classList.add("drawn");
    const { data, frames, layouts } = described(figure);
    const widths = layouts.map(([least]) => least);
    const width = fitting(figure, widths);
    shown.set(figure, { widths, width });
    const { updatemenus, ...layout } = layouts[widths.indexOf(width)][1];
    const plot = figure.querySelector(".plot");
    if (updatemenus) plot.before(player(plot, updatemenus));
    Plotly.newPlot(plot, { data, layout, frames, config }).catch(() => erase(figure));
  };

  const seen = new IntersectionObserver(
    (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => draw(entry.target)),
    { rootMargin: "200px 0px" },
  );
  for (const figure of figures) {
    const button = figure.querySelector("button");
    if (button) {
      button.hidden = false;
      button.addEventListener("click", () => draw(figure));
    }
    seen.observe(figure);
  }

  const again = (figure) => {
    erase(figure);
    draw(figure);
  };
  dark.addEventListener("change", () => [...shown.keys()].forEach(again));
  addEventListener("resize", () => {
    for (const [figure, { widths, width }] of [...shown]) if (fitting(figure, widths) !== width) again(figure);
  });

  // Paper cannot unfold.
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => (part.open = true)));
})();
