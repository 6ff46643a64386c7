// How often the event loop turns while an image is encoded, decoder included, and which part of the time the longest turn takes.
const { Sam } = require(process.env.BA_SAM_LIB);

(async () => {
  const sam = await Sam.load();
  const data = new Uint8Array(3000 * 2000 * 3).map((_, i) => i % 253);
  const image = { data, width: 3000, height: 2000, channels: 3 };
  await sam.encode(image, { longestSide: 256 }); // loads sharp, plans, kernels
  const start = performance.now();
  let last = start;
  let longest = 0;
  let turns = 0;
  let running = true;
  const turn = () => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
    turns++;
    if (running) setImmediate(turn);
  };
  setImmediate(turn);
  const embedding = await sam.encode(image, { longestSide: 1280, pad: false });
  await sam.predict(embedding, [{ points: [[100, 100]] }, { box: [10, 10, 900, 900] }], { multimask: true });
  running = false;
  console.log(JSON.stringify({ longest: longest / (performance.now() - start), turns }));
  await sam.dispose();
})();
