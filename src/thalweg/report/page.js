// Draws each figure when it comes into view. Browsers allow few WebGL contexts, so one 3-D panel lives at a time:
// drawing the next puts the last one's picture back.
(() => {
  const { config, night } = JSON.parse(document.getElementById("settings").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const narrow = matchMedia("(max-width: 640px)");
  const figures = [...document.querySelectorAll("figure[data-plot]")];
  let alive = null;

  const described = (figure) => {
    let text = document.getElementById(figure.dataset.plot).textContent;
    if (dark.matches) for (const [day, dusk] of night) text = text.replaceAll(day, dusk);
    const drawing = JSON.parse(text);
    const chosen = narrow.matches && drawing.narrow ? drawing.narrow : drawing;
    for (const note of chosen.layout.annotations ?? []) {
      if (dark.matches && note.bgcolor) note.bgcolor = "rgba(20,24,29,0.7)";
    }
    return chosen;
  };

  const erase = (figure) => {
    Plotly.purge(figure.querySelector(".plot"));
    figure.classList.remove("drawn");
  };

  const draw = (figure) => {
    if (figure.classList.contains("drawn")) return;
    if ("spatial" in figure.dataset) {
      if (alive && alive !== figure) erase(alive);
      alive = figure;
    }
    // The plot needs its place on the page before Plotly measures it.
    figure.classList.add("drawn");
    const { data, layout, frames = [] } = described(figure);
    Plotly.newPlot(figure.querySelector(".plot"), { data, layout, frames, config }).catch(() => erase(figure));
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

  const again = () => {
    for (const figure of figures.filter((one) => one.classList.contains("drawn"))) {
      erase(figure);
      draw(figure);
    }
  };
  dark.addEventListener("change", again);
  narrow.addEventListener("change", again);

  // Paper cannot unfold.
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => (part.open = true)));
})();
