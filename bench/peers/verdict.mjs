// What came of a turn: a report that can be believed so far, or a status with its reason.

const ALLOCATION =
  /out of memory|out_of_memory|(?:can't|cannot|could not|failed to|unable to) allocate|not enough memory|bad[ _]alloc|allocation failed|MemoryError|ENOMEM/i;
const REASON_CHARACTERS = 300;

/** One line without folders of this machine, which are nobody's business in a result file. */
function tidy(text) {
  const line = text.replace(/(?:\/[\w.+@-]+)+\/(?=[\w.+@-])/g, '').replace(/\s+/g, ' ');
  return line.trim().slice(0, REASON_CHARACTERS);
}

/** The line in which a failed process says why: the one about memory, else the last. */
export function ownWords({ stdout, stderr }) {
  const lines = `${stdout}\n${stderr}`.split('\n').filter((line) => line.trim() !== '');
  const words = lines.findLast((line) => ALLOCATION.test(line)) ?? lines.at(-1) ?? '';
  return { words: tidy(words), allocation: ALLOCATION.test(words) };
}

const gb = (value) => `${value.toFixed(1)} GB`;

/**
 * Why a process did not do its work.
 *
 * @param turn of runTurn
 * @param limits { memory_gb, timeout_s }
 * @returns {{ status: string, reason: string, peak_rss_mb?: number } | undefined} undefined when it ended well
 */
export function failure(turn, { memory_gb, timeout_s }, size) {
  const at = `at ${size} px`;
  const peak_rss_mb = Math.round(turn.peak_gb * 1024);
  if (turn.ended === 'memory') {
    const reason = `held ${gb(turn.peak_gb)} ${at}, the limit was ${gb(memory_gb)}`;
    return { status: 'out of memory', reason, peak_rss_mb };
  }
  if (turn.ended === 'system') {
    return {
      status: 'out of memory',
      reason: `the system ended it ${at}, last seen with ${gb(turn.peak_gb)}`,
      peak_rss_mb,
    };
  }
  if (turn.ended === 'time') {
    return { status: 'timed out', reason: `after ${timeout_s} s ${at}`, peak_rss_mb };
  }
  if (turn.ended === 'interrupted') return { status: 'skipped', reason: 'interrupted' };
  if (turn.error)
    return { status: 'failed', reason: tidy(`did not start: ${turn.error.code ?? turn.error.message}`) };
  if (turn.code === 0) return undefined;
  const { words, allocation } = ownWords(turn);
  if (allocation) {
    return {
      status: 'out of memory',
      reason: `${at}, with ${gb(turn.peak_gb)} before: ${words}`,
      peak_rss_mb,
    };
  }
  return {
    status: 'failed',
    reason: words || (turn.signal ? `ended by ${turn.signal}` : `exit ${turn.code}`),
  };
}

/**
 * A worker's last line.
 *
 * @returns { report } or { reason } when it is not what a worker prints
 */
export function readReport(stdout, runs) {
  const line = stdout.trimEnd().split('\n').at(-1);
  let report;
  try {
    report = JSON.parse(line);
  } catch {
    return { reason: tidy(`Expected a line of JSON from the worker but received ${line || 'nothing'}`) };
  }
  const positive = (value) => Number.isFinite(value) && value > 0;
  const wrong =
    ['load_s', 'first_ms', 'peak_rss_mb'].find((name) => !positive(report?.[name])) ??
    (Array.isArray(report.runs_ms) && report.runs_ms.length === runs && report.runs_ms.every(positive)
      ? undefined
      : 'runs_ms') ??
    (typeof report.versions === 'object' && report.versions !== null ? undefined : 'versions');
  return wrong === undefined ? { report } : { reason: `the worker's report has no usable ${wrong}` };
}
