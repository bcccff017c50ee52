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

  // The place of every plot is kept from the beginning, or drawing it would push away what a link leads to.
  const reserve = () => {
    for (const figure of figures) {
      const heights = JSON.parse(figure.dataset.heights);
      const [, height] = heights.find(([least]) => least <= figure.clientWidth) ?? heights.at(-1);
      figure.style.setProperty("--height", `${height}px`);
    }
  };
  reserve();

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

  // A slider and buttons of the page in place of Plotly's slider, which no keyboard reaches.
  const player = (plot, { steps, active }) => {
    const row = document.createElement("div");
    row.className = "player";
    const range = document.createElement("input");
    Object.assign(range, { type: "range", min: 0, max: steps.length - 1, value: active });
    range.setAttribute("aria-label", "point of the trajectory");
    const move = () => Plotly.restyle(plot, ...steps[range.valueAsNumber].args);
    let playing = false;
    const play = async () => {
      if (playing) return;
      playing = true;
      if (range.valueAsNumber === steps.length - 1) range.value = 0;
      while (playing && row.isConnected) {
        await move();
        if (range.valueAsNumber === steps.length - 1) break;
        await new Promise((next) => setTimeout(next, 60));
        range.stepUp();
      }
      playing = false;
    };
    const stop = () => { playing = false; };
    range.addEventListener("input", () => { stop(); move(); });
    for (const [label, act] of [["▶ Play", play], ["■ Stop", stop]]) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = label;
      button.addEventListener("click", act);
      row.append(button);
    }
    row.append(range);
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
    const { data, layouts } = described(figure);
    const widths = layouts.map(([least]) => least);
    const width = fitting(figure, widths);
    shown.set(figure, { widths, width });
    const [{ sliders, ...layout }, settings] = thalwegFit(layouts[widths.indexOf(width)][1], config, figure.clientWidth);
    const plot = figure.querySelector(".plot");
    if (sliders) plot.before(player(plot, sliders[0]));
    Plotly.newPlot(plot, { data, layout, config: settings }).catch(() => erase(figure));
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
    reserve();
    for (const [figure, { widths, width }] of [...shown]) if (fitting(figure, widths) !== width) again(figure);
  });

  // Paper cannot unfold.
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => (part.open = true)));
})();
