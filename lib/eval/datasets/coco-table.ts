// Where annotations lie in their file, and which ids were seen: arrays of numbers instead of a million objects.
import type { TimeSlice } from '../../time-slice';
import type { RecordSpan } from './json-records';

/** Byte ranges of one image's annotations. */
export type Ranges = readonly { readonly position: number; readonly length: number }[];

/** Annotations in the order of their file. */
export class AnnotationTable {
  /** Rows that are filled. */
  length = 0;
  /** Number of the image, by row. */
  images = new Uint32Array(1024);
  /** `category_id`, by row. */
  categories = new Float64Array(1024);
  #positions = new Float64Array(1024);
  #lengths = new Uint32Array(1024);

  push(image: number, category: number, span: RecordSpan): void {
    if (this.length === this.images.length) {
      const capacity = 2 * this.length;
      this.images = grown(this.images, new Uint32Array(capacity));
      this.categories = grown(this.categories, new Float64Array(capacity));
      this.#positions = grown(this.#positions, new Float64Array(capacity));
      this.#lengths = grown(this.#lengths, new Uint32Array(capacity));
    }
    this.images[this.length] = image;
    this.categories[this.length] = category;
    this.#positions[this.length] = span.position;
    this.#lengths[this.length] = span.length;
    this.length++;
  }

  /**
   * Sorts rows by image; within an image they keep their order.
   *
   * @param count images
   * @returns looks up an image's ranges
   */
  async byImage(count: number, slice: TimeSlice): Promise<(image: number) => Ranges> {
    const offsets = new Uint32Array(count + 1);
    for (let row = 0; row < this.length; row++) offsets[this.images[row]! + 1]!++;
    for (let i = 0; i < count; i++) offsets[i + 1]! += offsets[i]!;
    const next = offsets.slice(0, count);
    const rows = new Uint32Array(this.length);
    for (let row = 0; row < this.length; row++) {
      rows[next[this.images[row]!]!++] = row;
      if (row % 65_536 === 0 && slice.due()) await slice.next();
    }
    const [positions, lengths] = [this.#positions, this.#lengths];
    return (image) =>
      Array.from(rows.subarray(offsets[image], offsets[image + 1]), (row) => ({
        position: positions[row]!,
        length: lengths[row]!,
      }));
  }
}

function grown<T extends Uint32Array | Float64Array>(from: T, to: T): T {
  to.set(from);
  return to;
}

/** A set of integers in 256 parts: one large set would rehash all of it at once, in 100 ms for a million. */
export class IdSet {
  readonly #parts = Array.from({ length: 256 }, () => new Set<number>());

  /** False when the id is in the set already. */
  add(id: number): boolean {
    const part = this.#parts[((id % 256) + 256) % 256]!;
    const { size } = part;
    return part.add(id).size > size;
  }
}
