const specs = JSON.parse(document.getElementById("specs").textContent);
// ast: expressions are interpreted, so that the page may forbid eval.
const options = { mode: "vega-lite", renderer: "svg", actions: false, ast: true, tooltip: { disableDefaultStyle: true } };
const charts = [...document.querySelectorAll(".chart")];
Promise.all(charts.map((place) => vegaEmbed(place, specs[place.dataset.spec], options)))
  .then(() => document.documentElement.setAttribute("data-drawn", charts.length));

const value = (row, column) => {
  const cell = row.cells[column];
  const given = cell.dataset.value ?? cell.textContent.trim();
  return given === "" ? null : given;
};
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.firstElementChild.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const numbers = head.classList.contains("number");
    const rows = [...table.tBodies[0].rows].sort((one, other) => {
      const [a, b] = [value(one, column), value(other, column)];
      if (a === null || b === null) return (a === null) - (b === null);  // what is missing is last
      return (down ? -1 : 1) * (numbers ? a - b : a.localeCompare(b));
    });
    table.tBodies[0].append(...rows);
  }));
}
for (const input of document.querySelectorAll("input[data-table]")) {
  input.addEventListener("input", () => {
    const rows = [...document.getElementById(input.dataset.table).tBodies[0].rows];
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    rows.forEach((row) => {
      row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
    });
    document.getElementById(`count-${input.dataset.table}`).textContent =
      `${rows.filter((row) => !row.hidden).length} of ${rows.length} shown`;
  });
}
