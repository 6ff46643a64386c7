// The fused kernel by itself: node examples/attention.cjs [GRID [HEADS [HEAD_SIZE]]]
// Times one global attention layer with relative positions, without and with BA-SAM's distance penalty.
const { alibiSlopes, attention } = require('ba-sam');

const [side = 64, heads = 12, headDim = 64] = process.argv.slice(2).map(Number);
const tokens = side * side;
const random = (count) => Float32Array.from({ length: count }, () => 2 * Math.random() - 1);
const [q, k, v] = [0, 1, 2].map(() => random(tokens * heads * headDim));
const options = {
  heads,
  headDim,
  grid: { h: side, w: side },
  relPosH: random((2 * side - 1) * headDim),
  relPosW: random((2 * side - 1) * headDim),
};

async function time(title, extra) {
  const times = [];
  for (let i = 0; i < 5; i++) times.push((await attention(q, k, v, { ...options, ...extra })).milliseconds);
  const median = times.sort((a, b) => a - b)[2];
  const gflops = (4 * tokens * tokens * headDim * heads) / median / 1e6;
  console.log(
    `${title.padEnd(10)} ${median.toFixed(1).padStart(8)} ms  ${gflops.toFixed(0).padStart(5)} GFLOP/s`,
  );
}

(async () => {
  console.log(`${tokens} tokens, ${heads} heads × ${headDim}, f32`);
  await time('plain', {});
  const slopes = Float32Array.from(alibiSlopes(heads));
  for (const metric of ['manhattan', 'euclidean', 'chebyshev'])
    await time(metric, { distance: { metric, slopes } });
})();
