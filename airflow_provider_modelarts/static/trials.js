// The Trials tab: asks Airflow's API, as the user who looks, for what a task has left in XCom, and draws it.

(() => {
  "use strict";

  const SECONDS = 15; // between two looks at a task that is at work
  const AT_WORK = ["running", "deferred", "up_for_reschedule"];
  const SOON = ["none", "scheduled", "queued", "restarting", "up_for_retry"];
  const WHAT_TO_DO = {
    401: "Sign in to Airflow, and open this tab again.",
    403: "Your role needs to read this DAG's task instances and XComs: ask those who run Airflow.",
    404: "The task instance may have been cleared or deleted.",
  };

  class Refusal extends Error {
    constructor(status, words) {
      super(words);
      this.status = status;
    }
  }

  const task = (() => {
    const query = new URLSearchParams(location.search);
    const index = query.get("map_index") ?? ""; // of a task that is not mapped, Airflow leaves the word {MAP_INDEX}
    const part = (name) => encodeURIComponent(query.get(name) ?? "");
    return {
      path: `dags/${part("dag_id")}/dagRuns/${part("run_id")}/taskInstances/${part("task_id")}`,
      mapIndex: /^\d+$/.test(index) ? Number(index) : -1,
    };
  })();

  /** What Airflow answers to a path of its API, which is beside this page, wherever that is served. */
  async function ask(path) {
    const answer = await fetch(`../api/v2/${path}`, { headers: { Accept: "application/json" } });
    const body = await answer.json().catch(() => ({}));
    if (answer.ok) return body;
    const { detail } = body;
    throw new Refusal(answer.status, typeof detail === "string" ? detail : JSON.stringify(detail ?? answer.statusText));
  }

  function askTask() {
    return ask(task.mapIndex < 0 ? task.path : `${task.path}/${task.mapIndex}`);
  }

  /** The value of an XCom, undefined if there is none. Some versions of Airflow answer it as JSON text. */
  async function askXCom(key) {
    try {
      const { value } = await ask(`${task.path}/xcomEntries/${key}?map_index=${task.mapIndex}&stringify=false`);
      return fromText(value);
    } catch (error) {
      if (error.status === 404) return undefined;
      throw error;
    }
  }

  function fromText(value) {
    if (typeof value !== "string" || !/^[[{"]/.test(value)) return value;
    try {
      return JSON.parse(value);
    } catch {
      return value;
    }
  }

  async function look() {
    const instance = await askTask();
    const board = await askXCom("leaderboard");
    if (isBoard(board)) return { instance, parts: boardParts(board) };
    if (typeof board === "string") return { instance, parts: elsewhere(board) };
    const [jobId, link, summary] = await Promise.all(
      ["training_job_id", "modelarts_training_job_link", "return_value"].map(askXCom));
    const known = { jobId: jobId ?? instance.rendered_fields?.training_job_id, link, summary };
    return { instance, parts: typeof link === "string" ? jobParts(instance, known) : nothing(instance) };
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
        Best: best ? `${best.value} by ${best.trial_id}` : "no trial qualifies",
      }),
      table,
      ...(plots.children.length ? [make("h2", "Plots"), plots] : []),
    ];
  }

  /** What is known of a job before, or without, a table of trials. */
  function jobParts(instance, { jobId, link, summary }) {
    const isSearch = Boolean(summary?.trial_counts);
    return [
      make("h1", isSearch ? "A search on ModelArts" : "A job on ModelArts"),
      facts({
        Job: typeof jobId === "string" ? copyable(jobId) : undefined,
        Phase: summary?.job_phase,
        Trials: isSearch ? counts(Object.entries(summary.trial_counts)) : undefined,
        Message: summary?.message || undefined,
        Task: instance.state ?? "not yet started",
        Console: isWebAddress(link) ? copyable(link) : undefined,
      }),
      make("p", advice(instance, isSearch)),
    ];
  }

  function advice(instance, isSearch) {
    if (AT_WORK.includes(instance.state)) {
      return "The task is at work. Its log, in the tab Logs, tells how the job gets on: the trials that ended, the best"
        + ` so far. The table of trials comes once the best is chosen. This tab looks again every ${SECONDS} seconds.`;
    }
    const hint = isSearch ? " The task that chooses the best trial has one in this tab." : "";
    return `This task has left no table of trials; the tab Logs tells how it went.${hint}`;
  }

  function elsewhere(path) {
    return [
      make("h1", "The trials are kept elsewhere"),
      make("p", "This Airflow keeps large XComs in object storage, which this tab does not read. The table is at"),
      copyable(path),
    ];
  }

  function nothing(instance) {
    const isEarly = [...AT_WORK, ...SOON].includes(instance.state ?? "none");
    return [
      make("h1", isEarly ? "No trials yet" : "No trials here"),
      make("p", `The task ${instance.task_id} (${instance.operator_name ?? instance.operator ?? "unknown operator"}) `
        + `${isEarly ? "has so far left" : "has left"} no trials of a search. `
        + "This tab shows those of the ModelArts tasks that search or choose the best trial."),
    ];
  }

  function refused({ status, message }) {
    return [
      make("h1", "Airflow does not show the trials"),
      make("p", status ? `Airflow says: ${message} (${status})` : `Its answer did not come, or cannot be read: ${message}`),
      make("p", WHAT_TO_DO[status] ?? "Try again; if it stays so, ask those who run Airflow."),
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

  /** Text that one click selects: Airflow's frame blocks links to other pages. */
  function copyable(text) {
    const element = make("span", text);
    element.className = "copy";
    element.title = "click selects it all";
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

  /** Show what there is, and again later while that may change. What stays the same stays selected. */
  async function show() {
    let parts;
    let again;
    try {
      const seen = await look();
      parts = seen.parts;
      again = AT_WORK.includes(seen.instance.state);
    } catch (error) {
      parts = refused(error);
      again = !(error.status < 500); // a server that restarts
    }
    const page = document.querySelector("main");
    const next = make("main", ...parts);
    if (!page.isEqualNode(next)) page.replaceWith(next);
    if (again) setTimeout(show, SECONDS * 1000);
  }

  show();
})();
