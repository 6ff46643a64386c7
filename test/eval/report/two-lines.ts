// A chart with one panel of two lines, one of them interrupted.
import type { ChartOptions } from '../../../lib/options/chart';

export const twoLines: ChartOptions = {
  title: 'Discs',
  xLabel: 'longest side, px',
  panels: [
    {
      title: 'IoU ↑',
      series: [
        {
          name: 'plain',
          points: [
            [256, 0.9],
            [512, 0.8],
            [1024, 0.7],
          ],
        },
        {
          name: 'both',
          points: [
            [256, 0.88],
            [512, Number.NaN],
            [1024, 0.85],
          ],
        },
      ],
    },
  ],
};
