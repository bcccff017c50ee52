// Draws figures in the outputs of a notebook when they come into view. Plotly comes with the first of them, or with
// each, is unpacked once a page, and the others wait for it; where it does not come, or scripts do not run, the pictures stay. Browsers allow few WebGL
// contexts, so of the figures in three dimensions the last few are alive.
((id, figure, config, packed) => {
  /* fit.js */
  const page = (window.thalwegFigures ??= (() => {
    const made = { alive: [] };
    made.plotly = new Promise((come) => { made.come = come; });
    return made;
  })());
  const MOST = 6;

  const unpack = async (text) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const code = await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
    const module = { exports: {} };
    new Function("module", "exports", "define", code)(module, module.exports, undefined);
    page.come(module.exports);
  };
  if (packed) page.unpacked ??= unpack(packed).catch(() => { page.unpacked = undefined; });

  const hasDepth = () => {
    const context = document.createElement("canvas").getContext("webgl");
    context?.getExtension("WEBGL_lose_context")?.loseContext();
    return context !== null;
  };
  if (figure.spatial && !hasDepth()) return;

  page.plotly.then((Plotly) => {
    for (const place of document.querySelectorAll(`[data-thalweg="${id}"]:not([data-ready])`)) {
      place.dataset.ready = "";
      const [picture, plot] = [place.querySelector("img"), place.querySelector("div")];
      const fitting = () => figure.layouts.findIndex(([least]) => least <= place.clientWidth);
      let shown = null;
      const erase = () => {
        Plotly.purge(plot);
        picture.style.display = "";
        shown = null;
      };
      const draw = () => {
        if (!place.clientWidth || shown === fitting()) return;
        shown = fitting();
        picture.style.display = "none"; // not [hidden], which a notebook's own rule for pictures outranks
        if (figure.spatial) {
          page.alive = [...page.alive.filter((one) => one !== erase), erase];
          if (page.alive.length > MOST) page.alive.shift()();
        }
        const [layout, settings] = thalwegFit(figure.layouts[shown][1], config, place.clientWidth);
        Plotly.react(plot, { data: figure.data, layout, config: settings }).catch(erase);
      };
      new IntersectionObserver((entries) => entries.some((one) => one.isIntersecting) && draw()).observe(place);
      new ResizeObserver(() => shown !== null && draw()).observe(place);
    }
  });
})
