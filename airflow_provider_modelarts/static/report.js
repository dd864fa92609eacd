// Draws the table at once, and each plot when it comes into view.
"use strict";

const textOf = (id) => document.getElementById(id).textContent;

/** Run Plotly, which is compressed in the page. The page's content security policy lists its hash. */
async function loadPlotly() {
  const packed = Uint8Array.from(atob(textOf("plotly")), (char) => char.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
}

async function drawPlots() {
  const places = [...document.querySelectorAll(".figure")];
  if (!places.length) return;
  const figures = JSON.parse(textOf("figures"));
  await loadPlotly();
  const config = { displaylogo: false, responsive: true, showLink: false, showSendToCloud: false, typesetMath: false };
  const observer = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      observer.unobserve(target);
      const { data, layout } = figures[places.indexOf(target)];
      Plotly.newPlot(target, data, layout, config);
    }
  }, { rootMargin: "400px" });
  places.forEach((place) => observer.observe(place));
}

renderLeaderboard(document.getElementById("leaderboard"), JSON.parse(textOf("board")));
drawPlots().catch((error) => {
  document.querySelectorAll(".figure").forEach((place) => {
    place.textContent = `This browser cannot draw the plot: ${error.message}`;
  });
});
