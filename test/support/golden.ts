// The input of the golden encoders: a formula, so that it needs no file.

/** The formula of test/reference/make_golden.py: [1, 3, h, w]. */
export function goldenImage({
  height,
  width,
  imageSeed,
}: {
  height: number;
  width: number;
  imageSeed: number;
}): Float32Array {
  const out = new Float32Array(3 * height * width);
  let at = 0;
  for (let c = 0; c < 3; c++) {
    for (let i = 0; i < height; i++) {
      for (let j = 0; j < width; j++) {
        const wave = Math.sin(0.37 * (c + 1) + 0.051 * i + 0.083 * j + imageSeed);
        out[at++] = 1.5 * wave * Math.cos(0.029 * i - 0.041 * j * (c + 1));
      }
    }
  }
  return out;
}
