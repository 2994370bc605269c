// bee-queue, as a peer: see peer.py.
//
// Finished jobs are removed, and no event is sent for them.  The worker checks for stalled jobs,
// which takes a call: without it, the jobs of a dead worker would be lost.

import { main, require } from './peer.mjs';

const Queue = require('bee-queue');

const NAME = 'bench';

function connect(url, isWorker) {
  return new Queue(NAME, {
    redis: { url },
    isWorker,
    getEvents: false,
    sendEvents: false,
    storeJobs: false,
    removeOnSuccess: true,
  });
}

async function produce(url) {
  const queue = await connect(url, false).ready();
  return {
    put: (payload) => queue.createJob(payload).save(),
    putMany: async (payloads) => {
      const failed = await queue.saveAll(payloads.map((payload) => queue.createJob(payload)));
      if (failed.size) throw failed.values().next().value;
    },
  };
}

function work(url, concurrency, job) {
  const queue = connect(url, true);
  queue.process(concurrency, async ({ data }) => job(data));
  queue.checkStalledJobs(queue.settings.stallInterval);
}

await main(produce, work);
