// Progress on a terminal, silence in a pipe.
import { Presets, SingleBar } from 'cli-progress';
import { visible } from '../errors';

/** A bar on stderr for one stage of work at a time. */
export class Progress {
  private bar: SingleBar | undefined;

  constructor(private readonly enabled: boolean = process.stderr.isTTY === true) {}

  /** Starts a stage and returns the callback that moves its bar. */
  stage(title: string): ((fraction: number) => void) | undefined {
    this.stop();
    if (!this.enabled) return undefined;
    const bar = new SingleBar(
      {
        format: `${title.padEnd(8)} [{bar}] {percentage}% {duration_formatted}`,
        hideCursor: true,
        clearOnComplete: true,
        // Signals are handled in one place, main().
        gracefulExit: false,
      },
      Presets.rect,
    );
    bar.start(100, 0);
    this.bar = bar;
    return (fraction) => bar.update(Math.floor(100 * fraction));
  }

  stop(): void {
    this.bar?.stop();
    this.bar = undefined;
  }

  /** Tells a person what was written; a pipe hears nothing. */
  wrote(file: string): void {
    this.stop();
    if (this.enabled) process.stderr.write(`wrote ${visible(file)}\n`);
  }
}
