// The result as Markdown.
import type { GoldenErrors } from './golden.mts';
import type { SceneMeans } from './scenes.mts';

const row = (cells: readonly (string | number)[]) => `| ${cells.join(' | ')} |`;
const percent = (value: number) => `${(100 * value).toPrecision(2)} %`;

/** Tables of docs/cuda.md. */
export function table({
  golden,
  scenes,
}: {
  readonly golden: readonly GoldenErrors[];
  readonly scenes: readonly SceneMeans[];
}): string {
  const modes = Object.keys(golden[0].errors);
  const encoders = golden.map(({ name, cases, errors }) =>
    row([
      name,
      cases,
      ...modes.map((mode) => `${percent(errors[mode].mean)}, ${percent(errors[mode].largest)}`),
    ]),
  );
  const masks = scenes.map(({ side, prompt, mode, iou, agreement, embedding_error }) =>
    row([side, prompt, mode, iou.toFixed(3), agreement.toFixed(3), percent(embedding_error)]),
  );
  return [
    row(['golden encoder', 'cases', ...modes]),
    row(['---', '---', ...modes.map(() => '---')]),
    ...encoders,
    '',
    row([
      'px',
      'prompt',
      'computed in',
      'IoU with the truth',
      'IoU with the mask in f32',
      'error of the embedding',
    ]),
    row(Array(6).fill('---')),
    ...masks,
  ].join('\n');
}
