// The ranked table of a leaderboard document; its shape is in the docstring of core/leaderboard.py.
// Names and values come from a training script: they are inserted as text only.

/** Draw the table into an element. A click on a header sorts by its column, a second click in reverse. */
const renderLeaderboard = (() => {
  "use strict";

  function renderLeaderboard(element, board) {
    const columns = columnsOf(board);
    const headers = columns.map(headerOf);
    const body = make("tbody");
    headers.forEach((header, index) => {
      header.addEventListener("click", () => sortBy(index, header.ariaSort === "ascending" ? -1 : 1));
    });

    function sortBy(index, direction) {
      headers.forEach((header, other) => {
        header.ariaSort = other !== index ? "none" : direction > 0 ? "ascending" : "descending";
      });
      const trials = [...board.trials].sort((one, other) =>
        compare(columns[index].of(one), columns[index].of(other), direction));
      body.replaceChildren(...trials.map((trial) => rowOf(trial, columns)));
    }

    sortBy(0, 1);
    const table = make("table", make("thead", make("tr", ...headers)), body);
    const frame = make("div", table);
    frame.className = "leaderboard";
    frame.tabIndex = 0; // keyboard users can scroll it
    frame.setAttribute("role", "region");
    frame.setAttribute("aria-label", "Trials, best first");
    element.replaceChildren(frame, ...omission(board));
  }

  function columnsOf(board) {
    const parameters = board.parameters.map((name, index) => ({ name, of: (trial) => trial.parameters[index] }));
    const metrics = board.metrics.map((name, index) => ({ name, of: (trial) => trial.metrics[index] }));
    const reason = { name: "Reason", of: (trial) => trial.reason, hint: "why the trial is not ranked" };
    return [
      { name: "Rank", of: (trial) => trial.rank, show: (trial) => (trial.tied ? `${trial.rank}=` : trial.rank) },
      { name: "Trial", of: (trial) => trial.trial_id },
      { name: board.metric, of: (trial) => trial.value, hint: `objective, ${board.mode}` },
      ...parameters.map((column) => ({ ...column, hint: "parameter" })),
      { name: "Status", of: (trial) => trial.status },
      ...metrics.filter(({ name }) => name !== board.metric).map((column) => ({ ...column, hint: "metric" })),
      { name: "Seconds", of: (trial) => trial.duration, hint: "duration of the trial" },
      ...(board.trials.some((trial) => trial.reason) ? [reason] : []),
    ];
  }

  function headerOf(column) {
    const button = make("button", column.name);
    button.type = "button";
    button.title = column.hint ?? "";
    const header = make("th", button);
    header.scope = "col";
    return header;
  }

  function rowOf(trial, columns) {
    const row = make("tr", ...columns.map((column) => cellOf(trial, column)));
    row.className = trial.rank === 1 ? "best" : trial.rank === null ? "rejected" : "";
    return row;
  }

  function cellOf(trial, { of, show = of }) {
    const cell = make("td", formatted(show(trial)));
    cell.className = typeof of(trial) === "number" ? "number" : "";
    cell.title = of(trial) ?? "";
    return cell;
  }

  function omission({ omitted, omitted_columns: columns }) {
    const parts = [...(omitted ? [`${omitted} more trials`] : []), ...(columns ? [`${columns} more columns`] : [])];
    const line = make("p", `Not shown: ${parts.join(" and ")}. trials.csv and trials.json of the report list them.`);
    line.className = "omitted";
    return parts.length ? [line] : [];
  }

  /** Numbers before texts, each in their own order; missing values last in both directions. */
  function compare(one, other, direction) {
    const kinds = [one, other].map((value) => (isMissing(value) ? 2 : typeof value === "number" ? 0 : 1));
    if (kinds.includes(2)) return kinds[0] - kinds[1];
    if (kinds[0] !== kinds[1]) return direction * (kinds[0] - kinds[1]);
    return direction * (kinds[0] === 0 ? one - other : String(one).localeCompare(String(other)));
  }

  function isMissing(value) {
    return value === null || value === undefined || value === "";
  }

  /** Return a cell's text: numbers with six significant digits. The cell's title holds all digits. */
  function formatted(value) {
    if (isMissing(value)) return "";
    return typeof value === "number" && !Number.isInteger(value) ? String(Number(value.toPrecision(6))) : String(value);
  }

  function make(tag, ...children) {
    const element = document.createElement(tag);
    element.append(...children);
    return element;
  }

  return renderLeaderboard;
})();
