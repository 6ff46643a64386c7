// What a chart shows.
import { z } from 'zod';

/** How values lie on an axis: in equal steps, or in equal ratios. */
export type ChartScale = 'linear' | 'log';

/** One line. Points that are not finite, or not positive on a logarithmic axis, are left out. */
export interface ChartSeries {
  /** Series of one name have one colour, dash and marker in every panel, and one entry in the legend. */
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface ChartPanel {
  readonly title: string;
  /** Default: linear. */
  readonly yScale?: ChartScale;
  readonly series: readonly ChartSeries[];
}

export interface ChartOptions {
  readonly title: string;
  /** Below the x axis of every panel. */
  readonly xLabel: string;
  /** Of every panel; default: linear. */
  readonly xScale?: ChartScale;
  readonly panels: readonly ChartPanel[];
  /** Panels per row; default at most 3. */
  readonly columns?: number;
}

// Values that are not finite are left out of the chart, not refused.
const pointSchema = z.custom<readonly [number, number]>(
  (value) => Array.isArray(value) && value.length === 2 && value.every((part) => typeof part === 'number'),
  { error: 'Expected [x, y]' },
);
const scale = z.enum(['linear', 'log']);

export const chartSchema: z.ZodType<ChartOptions> = z.strictObject({
  title: z.string(),
  xLabel: z.string(),
  xScale: scale.optional(),
  panels: z.array(
    z.strictObject({
      title: z.string(),
      yScale: scale.optional(),
      series: z.array(z.strictObject({ name: z.string(), points: z.array(pointSchema) })),
    }),
  ),
  columns: z.int().min(1).optional(),
});
