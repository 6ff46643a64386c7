// How far an evaluation is: a bar on a terminal, now and then a line in a pipe.
import { Presets, SingleBar } from 'cli-progress';
import { visible } from '../errors';
import type { EvaluationProgress } from '../options/evaluate';

const LINE_INTERVAL_MS = 10_000;

/** Shows rows (images × sizes × settings) done, their rate in this run, and the time that is left at this rate. */
export class EvaluationProgressView {
  private bar: SingleBar | undefined;
  private label = '';
  private began_ms = 0;
  private lastLine_ms = Number.NEGATIVE_INFINITY;

  /** @param write where lines go when there is no terminal */
  constructor(
    private readonly terminal: boolean = process.stderr.isTTY === true,
    private readonly write: (line: string) => void = (line) => void process.stderr.write(line),
    private readonly now_ms: () => number = () => performance.now(),
  ) {}

  /** @param name what is evaluated: a new one begins a new bar */
  update(name: string, progress: EvaluationProgress): void {
    const { done, total, resumed } = progress;
    const now = this.now_ms();
    const label = visible(name);
    if (label !== this.label || (!this.bar && this.terminal)) this.begin(label, now, progress);
    const seconds = (now - this.began_ms) / 1000;
    const rate = seconds > 0 ? (done - resumed) / seconds : 0;
    const shown = {
      rate: rate > 0 ? rate.toPrecision(3) : '–',
      left: rate > 0 ? duration((total - done) / rate) : '–',
    };
    if (this.bar) {
      this.bar.setTotal(total);
      this.bar.update(done, shown);
    } else if (done === total || now - this.lastLine_ms >= LINE_INTERVAL_MS) {
      this.lastLine_ms = now;
      this.write(`${this.label}: ${done} of ${total} rows, ${shown.rate} rows/s, ${shown.left} left\n`);
    }
  }

  stop(): void {
    this.bar?.stop();
    this.bar = undefined;
  }

  private begin(label: string, now: number, { done, total }: EvaluationProgress): void {
    this.stop();
    this.label = label;
    this.began_ms = now;
    this.lastLine_ms = Number.NEGATIVE_INFINITY;
    if (!this.terminal) return;
    this.bar = new SingleBar(
      {
        format: `{label} [{bar}] {value}/{total} rows, {rate} rows/s, {left} left`,
        hideCursor: true,
        clearOnComplete: true,
        // Signals are handled in one place, main().
        gracefulExit: false,
      },
      Presets.rect,
    );
    this.bar.start(total, done, { label, rate: '–', left: '–' });
  }
}

/** `59 s`, `12 min 03 s`, `5 h 07 min`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (value: number) => String(value).padStart(2, '0');
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
}
