// One image of an evaluation: read once, encoded once per size and setting, asked, measured.
import { SamError } from '../errors';
import type { RgbImage } from '../image/types';
import type { Combination, PromptKind } from '../options/evaluate';
import type { DistancePenalty } from '../options/settings';
import type { Prompt } from '../prompts';
import type { Sam } from '../sam';
import { decodeSample } from './datasets/orientation';
import type { EvaluationRow, Failure } from './journal-entries';
import type { Detection } from './metrics';
import { binaryMask, Predictor, softMask } from './predict';
import { blindPrompts, needsTruth, truthPrompt } from './prompts';
import { attentionSettings, type Cell } from './settings';
import { type MetricChoice, Tally, type Values } from './tally';
import type { BinaryMask, Instance, Sample } from './types';

/** What is done with every image; plain JSON, so that workers can be told. */
export interface Procedure {
  readonly cells: readonly Cell[];
  readonly distance: DistancePenalty;
  readonly pad: boolean;
  readonly prompt: PromptKind;
  /** Points per side of the prompt `grid`. */
  readonly grid: number;
  readonly combine: Combination;
  readonly multimask: boolean;
  readonly metrics: MetricChoice;
}

/** What is known about an image, and how it is asked for. */
type Question =
  | { readonly truth: BinaryMask; readonly prompts: readonly Prompt[] }
  | {
      readonly instances: readonly Instance[];
      readonly asked: readonly Instance[];
      readonly prompts: readonly Prompt[];
    };

/** An image that cannot be used, and why. */
class Unusable extends Error {}

/** Makes the rows of an evaluation with one model. */
export class RowMaker {
  private readonly predictor: Predictor;

  constructor(
    private readonly sam: Sam,
    private readonly procedure: Procedure,
    /** The checkpoint, as errors name it. */
    private readonly model: string,
  ) {
    this.predictor = new Predictor(sam, procedure.multimask);
  }

  /**
   * The rows of one image, or the reason why there are none.
   *
   * @param index of the sample, for its rows
   * @param cells indices of the cells that are wanted
   * @param emit gets every row as soon as it is there
   * @throws SamError for anything but an unusable image; the signal's reason
   */
  async run(
    sample: Sample,
    index: number,
    cells: readonly number[],
    emit: (entry: EvaluationRow | Failure) => Promise<void>,
    signal?: AbortSignal,
  ): Promise<void> {
    let image: RgbImage;
    let question: Question;
    try {
      image = await decodeSample(sample.image, sample);
      question = await this.ask(sample, image);
    } catch (error) {
      const reason = unusable(error);
      if (reason === undefined) throw error;
      return emit({ sample: index, reason });
    }
    for (const cell of cells) {
      signal?.throwIfAborted();
      const tally = new Tally(this.procedure.metrics);
      const values = await this.measure(
        tally,
        index,
        image,
        question,
        this.procedure.cells[cell]!,
        signal,
      ).catch((error) => {
        throw named(error, sample, this.model);
      });
      const note = 'truth' in question ? question.truth.note : undefined;
      await emit({
        sample: index,
        cell,
        values,
        state: tally.state(),
        ...(note === undefined ? {} : { note }),
      });
    }
  }

  private async ask(sample: Sample, image: RgbImage): Promise<Question> {
    const { prompt, grid } = this.procedure;
    if (sample.instances) {
      const instances = await sample.instances();
      for (const { mask } of instances) checkSize(mask, image);
      // A crowd is no object, and nothing points at an instance without pixels.
      const asked: Instance[] = [];
      const prompts: Prompt[] = [];
      for (const instance of instances) {
        const one = instance.crowd || !needsTruth(prompt) ? undefined : truthPrompt(prompt, instance.mask);
        if (!one) continue;
        asked.push(instance);
        prompts.push(one);
      }
      return { instances, asked, prompts };
    }
    const truth = await sample.mask!();
    checkSize(truth, image);
    if (!needsTruth(prompt)) return { truth, prompts: blindPrompts(prompt, image, grid) };
    const one = truthPrompt(prompt, truth);
    if (!one) throw new Unusable(`the ground truth is empty: it gives no ${prompt}`);
    return { truth, prompts: [one] };
  }

  private async measure(
    tally: Tally,
    index: number,
    image: RgbImage,
    question: Question,
    { size, attention }: Cell,
    signal: AbortSignal | undefined,
  ): Promise<Values> {
    const { pad, distance, combine } = this.procedure;
    const { prompts } = question;
    const encode = async () => {
      const settings = attentionSettings(attention, distance);
      return this.sam.encode(image, { ...settings, longestSide: size, pad, signal });
    };
    if ('truth' in question) {
      const logits = await this.predictor.combined(await encode(), prompts, combine, signal);
      return tally.addMask(softMask(logits), question.truth);
    }
    const { instances, asked } = question;
    const detections: Detection[] = [];
    if (prompts.length > 0) {
      for await (const logits of this.predictor.each(await encode(), prompts, signal)) {
        const instance = asked[detections.length]!;
        // Before softMask(), which writes over the logits.
        const mask = binaryMask(logits);
        detections.push({ category: instance.category, score: logits.score, mask });
        tally.addMask(softMask(logits), instance.mask);
      }
    }
    tally.addDetections(index, instances, detections);
    return tally.result();
  }
}

function checkSize({ width, height }: BinaryMask, image: RgbImage): void {
  if (width === image.width && height === image.height) return;
  throw new Unusable(
    `expected a ground truth of ${image.width} × ${image.height} px, the size of the image, but found ${width} × ${height}`,
  );
}

// An error of the model, with what it computed on.
function named(error: unknown, { id }: Sample, model: string): unknown {
  if (!(error instanceof SamError)) return error;
  const what = error.message.includes(model) ? id : `${model}, image ${id}`;
  return new SamError(error.code, `${what}: ${error.message}`, { cause: error });
}

// What is wrong with a file, in words; undefined for every other error.
function unusable(error: unknown): string | undefined {
  if (error instanceof Unusable) return error.message;
  const codes = ['ERR_IMAGE', 'ERR_IO', 'ERR_DATASET'];
  return error instanceof SamError && codes.includes(error.code) ? error.message : undefined;
}
