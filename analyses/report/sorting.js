// The columns of a table sort it: up, down, and back to how it was.
(() => {
  "use strict";

  const value = (row, column) => row.cells[column].textContent.trim();
  const numberIn = (text) => parseFloat(text.replace("−", "-").replace(/,/g, "").replace(/^[<>]/, ""));

  function compare(a, b) {
    const [x, y] = [numberIn(a), numberIn(b)];
    if (Number.isNaN(x) && Number.isNaN(y)) return a.localeCompare(b);
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1; // words come after numbers
    return x - y;
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    const original = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];
    for (const [column, head] of heads.entries()) {
      const button = document.createElement("button");
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const next = { ascending: "descending", descending: "none" }[head.ariaSort] ?? "ascending";
        for (const other of heads) other.ariaSort = other === head ? next : "none";
        const rows = [...original];
        if (next !== "none") rows.sort((a, b) => compare(value(a, column), value(b, column)));
        if (next === "descending") rows.reverse();
        body.append(...rows);
      });
    }
  }
})();
