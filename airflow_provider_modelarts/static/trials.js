// The Trials tab: reads the XComs of a task from Airflow's API, with the permissions of the signed-in user.

(() => {
  "use strict";

  const REFRESH_SECONDS = 15; // while the task is active
  const ACTIVE = ["running", "deferred", "up_for_reschedule"];
  const NOT_STARTED = ["none", "scheduled", "queued", "restarting", "up_for_retry"];
  const ADVICE = {
    401: "Sign in to Airflow, and reopen this tab.",
    403: "Reading this DAG's task instances and XComs requires a permission: ask your Airflow administrator.",
    404: "The task instance may have been cleared or deleted.",
  };

  class ResponseError extends Error {
    constructor(status, message) {
      super(message);
      this.status = status;
    }
  }

  const task = (() => {
    const query = new URLSearchParams(location.search);
    const index = query.get("map_index") ?? ""; // the literal {MAP_INDEX} for a task that is not mapped
    const part = (name) => encodeURIComponent(query.get(name) ?? "");
    return {
      path: `dags/${part("dag_id")}/dagRuns/${part("run_id")}/taskInstances/${part("task_id")}`,
      mapIndex: /^\d+$/.test(index) ? Number(index) : -1,
    };
  })();

  /** Request a path of Airflow's API. It is relative to this page: Airflow may be served below a base path. */
  async function request(path) {
    const response = await fetch(`../api/v2/${path}`, { headers: { Accept: "application/json" } });
    const body = await response.json().catch(() => ({}));
    if (response.ok) return body;
    const { detail } = body;
    const message = typeof detail === "string" ? detail : JSON.stringify(detail ?? response.statusText);
    throw new ResponseError(response.status, message);
  }

  function readTask() {
    return request(task.mapIndex < 0 ? task.path : `${task.path}/${task.mapIndex}`);
  }

  /** Return the value of an XCom, undefined if it does not exist. Some versions of Airflow return it as JSON text. */
  async function readXCom(key) {
    try {
      const { value } = await request(`${task.path}/xcomEntries/${key}?map_index=${task.mapIndex}&stringify=false`);
      return parsed(value);
    } catch (error) {
      if (error.status === 404) return undefined;
      throw error;
    }
  }

  function parsed(value) {
    if (typeof value !== "string" || !/^[[{"]/.test(value)) return value;
    try {
      return JSON.parse(value);
    } catch {
      return value;
    }
  }

  async function read() {
    const instance = await readTask();
    const board = await readXCom("leaderboard");
    if (isBoard(board)) return { instance, parts: boardParts(board) };
    if (typeof board === "string") return { instance, parts: elsewhereParts(board) };
    const [jobId, link, summary] = await Promise.all(
      ["training_job_id", "modelarts_training_job_link", "return_value"].map(readXCom));
    const known = { jobId: jobId ?? instance.rendered_fields?.training_job_id, link, summary };
    return { instance, parts: typeof link === "string" ? jobParts(instance, known) : emptyParts(instance) };
  }

  function isBoard(value) {
    return ["trials", "parameters", "metrics", "trial_counts"].every((name) => Array.isArray(value?.[name]));
  }

  function boardParts(board) {
    const best = board.trials.find((trial) => trial.rank === 1);
    const table = make("div");
    const plots = make("div");
    plots.className = "plots";
    renderLeaderboard(table, board);
    renderPlots(plots, board);
    return [
      make("h1", board.job_name || board.training_job_id),
      facts({
        Job: copyable(board.training_job_id),
        Phase: board.job_phase,
        Objective: `${board.metric}, ${board.mode}`,
        Trials: counts(board.trial_counts),
        Best: best ? `${best.value} by ${best.trial_id}` : "none",
      }),
      table,
      ...(plots.children.length ? [make("h2", "Plots"), plots] : []),
    ];
  }

  /** Return the facts of a job that has no table of trials, or none yet. */
  function jobParts(instance, { jobId, link, summary }) {
    const isSearch = Boolean(summary?.trial_counts) || /HyperparameterSearch/.test(operatorOf(instance));
    return [
      make("h1", isSearch ? "Hyperparameter search" : "Training job"),
      facts({
        Job: typeof jobId === "string" ? copyable(jobId) : undefined,
        Phase: summary?.job_phase,
        Trials: summary?.trial_counts ? counts(Object.entries(summary.trial_counts)) : undefined,
        Message: summary?.message || undefined,
        Task: instance.state ?? "not started",
        Console: isWebAddress(link) ? copyable(link) : undefined,
      }),
      make("p", ACTIVE.includes(instance.state) ? progress(isSearch) : ending(summary)),
    ];
  }

  function progress(isSearch) {
    const logs = isSearch
      ? "Search in progress. The Logs tab shows how many trials have ended, and the best value so far. The table of trials"
        + " appears when the search is done."
      : "Training job in progress. The Logs tab shows its phase.";
    return `${logs} This tab refreshes every ${REFRESH_SECONDS} seconds.`;
  }

  function ending(summary) {
    const hint = summary?.trial_counts ? " The task that selects the best trial shows one in this tab." : "";
    return `This task has no table of trials. See the Logs tab for details.${hint}`;
  }

  function elsewhereParts(path) {
    return [
      make("h1", "Trials stored elsewhere"),
      make("p", "Airflow keeps large XComs in object storage, which this tab does not read. Path of the table of trials:"),
      copyable(path),
    ];
  }

  function emptyParts(instance) {
    const isEarly = [...ACTIVE, ...NOT_STARTED].includes(instance.state ?? "none");
    return [
      make("h1", isEarly ? "No trials yet" : "No trials"),
      make("p", `The task ${instance.task_id} (${operatorOf(instance)}) has no trials${isEarly ? " yet" : ""}. `
        + "This tab shows the trials of ModelArts tasks that run a search or select the best trial."),
    ];
  }

  function operatorOf(instance) {
    return instance.operator_name ?? instance.operator ?? "unknown operator";
  }

  function errorParts({ status, message }) {
    return [
      make("h1", "Trials not available"),
      make("p", status ? `Airflow returned ${status}: ${message}` : `No readable response from Airflow: ${message}`),
      make("p", ADVICE[status] ?? "Reload this tab. If the error persists, ask your Airflow administrator."),
    ];
  }

  function counts(pairs) {
    return pairs.map(([status, count]) => `${count} ${status}`).join(", ") || "none";
  }

  function facts(values) {
    const list = make("dl");
    list.className = "facts";
    for (const [name, value] of Object.entries(values)) {
      if (value !== undefined) list.append(make("div", make("dt", name), make("dd", value)));
    }
    return list;
  }

  /** Text that a click selects: the iframe of the tab blocks links to other pages. */
  function copyable(text) {
    const element = make("span", text);
    element.className = "copy";
    element.title = "Click to select";
    return element;
  }

  function isWebAddress(link) {
    return typeof link === "string" && /^https?:\/\//i.test(link);
  }

  function make(tag, ...children) {
    const element = document.createElement(tag);
    element.append(...children);
    return element;
  }

  /** Show the task, and refresh while it may change. An unchanged page is left alone, so that selected text stays. */
  async function show() {
    let parts;
    let mayChange;
    try {
      const found = await read();
      parts = found.parts;
      mayChange = ACTIVE.includes(found.instance.state);
    } catch (error) {
      parts = errorParts(error);
      mayChange = !(error.status < 500); // a server that restarts
    }
    const page = document.querySelector("main");
    const next = make("main", ...parts);
    if (!page.isEqualNode(next)) page.replaceWith(next);
    if (mayChange) setTimeout(show, REFRESH_SECONDS * 1000);
  }

  show();
})();
