// What a figure needs of the place where it is drawn, which is not known when it is made.
const thalwegFit = (layout, config, width) => {
  const fitted = { ...layout };
  const narrow = width < 500;
  const names = Object.keys(layout);
  const bars = names.filter((name) => name.startsWith("coloraxis"));
  // On a phone a panel in three dimensions needs the place of its color bar; its axis says the same.
  const spatial = names.some((name) => name.startsWith("scene"));
  const bare = narrow && spatial;
  if (bare) for (const name of bars) fitted[name] = { ...layout[name], showscale: false };
  const beside = 32 + (bars.length && !bare ? 90 : 0); // pixels
  for (const [name, axis] of Object.entries(layout)) {
    // On a phone there is room for half the powers of ten.
    if (narrow && name.startsWith("xaxis") && axis.type === "log" && axis.dtick) {
      fitted[name] = { ...axis, dtick: 2 * axis.dtick };
    }
    if (!name.startsWith("scene")) continue;
    // Plotly scales a panel in three dimensions by its height: where it is narrow, it is seen from farther away.
    const [[left, right], [bottom, top]] = [axis.domain.x, axis.domain.y];
    const [across, labels] = [(width - beside) * (right - left), bare ? 110 : 90];
    const farther = Math.max(1, (0.9 * (layout.height - 60) * (top - bottom)) / Math.max(across - labels, 60));
    const eye = Object.fromEntries(Object.entries(axis.camera.eye).map(([way, far]) => [way, far * farther]));
    const { text } = layout[name.replace("scene", "coloraxis")]?.colorbar.title ?? {};
    const zaxis = bare ? { ...axis.zaxis, title: { ...axis.zaxis.title, text } } : axis.zaxis;
    fitted[name] = { ...axis, zaxis, camera: { ...axis.camera, eye } };
  }
  // A finger scrolls the page, and a toolbar, which it cannot hover over, would cover titles.
  const touched = matchMedia("(hover: none)").matches || narrow;
  if (touched && !spatial) fitted.dragmode = false;
  return [fitted, touched ? { ...config, displayModeBar: false } : config];
};
