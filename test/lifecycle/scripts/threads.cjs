// Counts the process's threads after the first and after many runs of several graphs.
const { readdirSync } = require('node:fs');
const { Sam } = require(process.env.BA_SAM_LIB);

const threads = () => readdirSync('/proc/self/task').length;

(async () => {
  const sam = await Sam.load();
  const run = async (side) => {
    const embedding = await sam.encode({
      pixelValues: new Float32Array(3 * side * side),
      shape: [1, 3, side, side],
    });
    await sam.predict(embedding, { points: [[10, 10]] });
  };
  await run(256);
  const afterFirst = threads();
  for (let i = 0; i < 12; i++) await run(i % 2 ? 256 : 320);
  console.log(JSON.stringify({ afterFirst, afterMany: threads() }));
  await sam.dispose();
})();
