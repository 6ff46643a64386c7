// instances_*.json: its images, and where each one's annotations lie. Annotations are checked when the file is opened
// and read again when they are asked for: of 450 MB of annotations, 28 bytes for each of them
// stay in memory.
import type { FileHandle } from 'node:fs/promises';
import { SamError } from '../../errors';
import { openForReading, readError } from '../../files/kind';
import { TimeSlice } from '../../time-slice';
import type { Instance, Problem } from '../types';
import { type CocoImage, fields, identifier, readAnnotation, readImage, toInstance } from './coco-records';
import { AnnotationTable, IdSet, type Ranges } from './coco-table';
import { withoutExtension } from './files';
import { type RecordSpan, readRecords } from './json-records';

const LISTS = ['images', 'annotations', 'categories'];
/** train2017 has 860,001. */
const MAX_ANNOTATIONS = 10_000_000;
/** All images of train2017 may be broken; a file with more broken ones only fills memory. */
const MAX_PROBLEMS = 1_000_000;

/** An image that can be used, as far as the file goes. */
export interface CocoEntry extends CocoImage {
  /** Reads its annotations, in the file's order. */
  readonly instances: () => Promise<readonly Instance[]>;
}

/** What is known about an id in `images`. */
interface Entry {
  /** Place among all entries. */
  readonly index: number;
  readonly name: string;
  /** Undefined when its record is broken. */
  readonly image: CocoImage | undefined;
  /** Why it cannot be used: the first reason, and how many more there are. */
  reason?: string;
  moreReasons: number;
}

/**
 * Reads and checks a file of any size without holding up the event loop.
 *
 * An image with a broken annotation cannot be used, since its ground truth would be incomplete. Neither can images that
 * share an id.
 *
 * @returns images by ascending id, and everything that cannot be used
 * @throws SamError ERR_IO; ERR_DATASET when the file is not JSON or not of this kind
 */
export async function readCocoFile(path: string): Promise<{ images: CocoEntry[]; problems: Problem[] }> {
  const file = await openForReading(path);
  try {
    const contents = new Contents(path);
    await contents.read(file);
    return await contents.finish(await stampOf(file));
  } finally {
    await file.close().catch(() => {});
  }
}

class Contents {
  readonly #entries = new Map<number, Entry>();
  readonly #table = new AnnotationTable();
  readonly #annotationIds = new IdSet();
  /** Image ids that annotations have and `images` does not, with the number of annotations. */
  readonly #unknown = new Map<number, number>();
  readonly #problems: Problem[] = [];
  #categories: Set<number> | undefined;
  #problemCount = 0;

  constructor(private readonly path: string) {}

  async read(file: FileHandle): Promise<void> {
    const found: string[] = [];
    let annotationsCameFirst = false;
    await readRecords(file, this.path, {
      list: (key) => found.push(key),
      element: (key, value, span) => {
        if (key === 'images') this.#addImage(value, span);
        else if (key === 'categories') this.#addCategory(value, span);
        else if (key === 'annotations' && found.includes('images')) this.#addAnnotation(value, span);
        else if (key === 'annotations') annotationsCameFirst = true;
      },
      value: (key, value) => {
        if (!LISTS.includes(key) || (key === 'categories' && value === null)) return;
        throw this.#error(`expected a list for ${key} but found a value of type ${typeof value}`);
      },
    });
    if (!found.includes('images') || !found.includes('annotations')) {
      throw this.#error(
        `expected the lists images and annotations but found ${found.join(', ') || 'no lists'}`,
      );
    }
    // Annotations are checked against their images, which come first in every file that COCO itself wrote.
    if (!annotationsCameFirst) return;
    await readRecords(file, this.path, {
      element: (key, value, span) => {
        if (key === 'annotations') this.#addAnnotation(value, span);
      },
    });
  }

  async finish(stamp: string): Promise<{ images: CocoEntry[]; problems: Problem[] }> {
    for (const [id, count] of this.#unknown) {
      const what = count === 1 ? '1 annotation has' : `${count} annotations have`;
      this.#problems.push({ id: `image ${id}`, reason: `${what} its id but images does not list it` });
    }
    const slice = new TimeSlice();
    await this.#checkCategories(slice);
    const rangesOf = await this.#table.byImage(this.#entries.size, slice);
    const images: CocoEntry[] = [];
    for (const id of Float64Array.from(this.#entries.keys()).sort()) {
      const { index, name, image, reason, moreReasons } = this.#entries.get(id)!;
      if (image && reason === undefined) {
        images.push({
          ...image,
          instances: () => readInstances(this.path, stamp, image, rangesOf(index)),
        });
      } else {
        this.#problems.push({
          id: name,
          reason: moreReasons > 0 ? `${reason} (and ${moreReasons} more)` : `${reason}`,
        });
      }
      if (slice.due()) await slice.next();
    }
    return { images, problems: this.#problems };
  }

  #addImage(value: unknown, { index }: RecordSpan): void {
    const where = `images[${index}]`;
    let id: number | undefined;
    let image: CocoImage | undefined;
    let reason: string | undefined;
    try {
      const record = fields(value, where);
      id = identifier(record.id, 'id');
      image = readImage(record);
    } catch (error) {
      reason = `${where}: ${messageOf(error)}`;
    }
    if (id === undefined) {
      this.#count(where);
      this.#problems.push({ id: where, reason: reason! });
      return;
    }
    const known = this.#entries.get(id);
    if (known) {
      this.#markUnusable(known, `${where} has its id ${id}, too`);
      return;
    }
    const name = image ? withoutExtension(image.fileName) : `image ${id}`;
    const entry: Entry = { index: this.#entries.size, name, image, moreReasons: 0 };
    this.#entries.set(id, entry);
    if (reason !== undefined) this.#markUnusable(entry, reason);
  }

  #addCategory(value: unknown, { index }: RecordSpan): void {
    this.#categories ??= new Set();
    try {
      this.#categories.add(identifier(fields(value, `categories[${index}]`).id, `categories[${index}].id`));
    } catch (error) {
      throw this.#error(messageOf(error));
    }
  }

  #addAnnotation(value: unknown, span: RecordSpan): void {
    const where = `annotations[${span.index}]`;
    if (!(span.index < MAX_ANNOTATIONS)) throw this.#error(`expected at most ${MAX_ANNOTATIONS} annotations`);
    let entry: Entry | undefined;
    let reason: string;
    try {
      const record = fields(value, where);
      const imageId = identifier(record.image_id, 'image_id');
      entry = this.#entries.get(imageId);
      if (!entry) {
        this.#addUnknown(imageId);
        return;
      }
      // What it says cannot be checked without the image, which cannot be used anyway.
      if (!entry.image) return;
      const { id, category } = readAnnotation(record, entry.image.width, entry.image.height);
      if (this.#annotationIds.add(id)) {
        this.#table.push(entry.index, category, span);
        return;
      }
      reason = `an annotation before it has the id ${id}, too`;
    } catch (error) {
      reason = messageOf(error);
    }
    if (entry) this.#markUnusable(entry, `${where}: ${reason}`);
    else {
      this.#count(where);
      this.#problems.push({ id: where, reason });
    }
  }

  #addUnknown(imageId: number): void {
    const count = this.#unknown.get(imageId) ?? 0;
    if (count === 0) this.#count(`image ${imageId}`);
    this.#unknown.set(imageId, count + 1);
  }

  // Some tools write no categories; then there is nothing to check.
  async #checkCategories(slice: TimeSlice): Promise<void> {
    if (!this.#categories) return;
    const entries = [...this.#entries.values()];
    for (let row = 0; row < this.#table.length; row++) {
      const category = this.#table.categories[row]!;
      if (!this.#categories.has(category)) {
        this.#markUnusable(
          entries[this.#table.images[row]!]!,
          `categories does not list category_id ${category}`,
        );
      }
      if (row % 1024 === 0 && slice.due()) await slice.next();
    }
  }

  #markUnusable(entry: Entry, reason: string): void {
    if (entry.reason !== undefined) {
      entry.moreReasons++;
      return;
    }
    this.#count(entry.name);
    entry.reason = reason;
  }

  // Called once for everything that will be among the problems.
  #count(id: string): void {
    if (++this.#problemCount <= MAX_PROBLEMS) return;
    throw this.#error(`more than ${MAX_PROBLEMS} images or annotations cannot be used, ${id} among them`);
  }

  #error(message: string): SamError {
    return new SamError('ERR_DATASET', `${this.path}: ${message}`);
  }
}

async function readInstances(
  path: string,
  stamp: string,
  image: CocoImage,
  ranges: Ranges,
): Promise<Instance[]> {
  const file = await openForReading(path);
  try {
    if ((await stampOf(file)) !== stamp) {
      throw new SamError('ERR_DATASET', `${path}: the file changed after the dataset was opened`);
    }
    const instances: Instance[] = [];
    for (const { position, length } of ranges) {
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(length), 0, length, position);
      const record = fields(JSON.parse(buffer.toString('utf8', 0, bytesRead)), 'annotation');
      instances.push(
        toInstance(readAnnotation(record, image.width, image.height), image.width, image.height),
      );
    }
    return instances;
  } catch (cause) {
    if (cause instanceof SamError) throw cause;
    throw readError(path, cause);
  } finally {
    await file.close().catch(() => {});
  }
}

// Changes with the file's contents.
async function stampOf(file: FileHandle): Promise<string> {
  const { size, mtimeMs, ino } = await file.stat();
  return `${ino}:${size}:${mtimeMs}`;
}

function messageOf(error: unknown): string {
  if (error instanceof SamError) return error.message;
  throw error;
}
