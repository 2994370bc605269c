// Shared by the clients in Node: their orders, which are those of client.py.

import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

// The packages are in the current folder.
export const require = createRequire(`${process.cwd()}/`);

export const { url } = parseArgs({ options: { url: { type: 'string' } } }).values;

// CLOCK_MONOTONIC, as in client.py, in seconds.
export const clock = () => Number(process.hrtime.bigint()) / 1e9;

const number = (digits, value) => String(value).padStart(digits, '0');

// Fills the placeholders of a command, from the call's number and the last answer.
function fill(words, spread) {
  const makers = {
    '{n}': (call) => number(24, call),
    '{r}': () => number(12, Math.floor(Math.random() * spread)),
    '{id}': (_, answer) => answer[2],
    '{time}': (_, answer) => answer[0],
  };
  const slots = words.flatMap((word, index) => {
    const name = Object.keys(makers).find((each) => word.includes(each));
    if (!name) return [];
    const [before, after] = word.split(name);
    return [[index, (call, answer) => before + makers[name](call, answer) + after]];
  });
  return (call, answer) => {
    const filled = [...words];
    for (const [index, make] of slots) filled[index] = make(call, answer);
    return filled;
  };
}

// A call that sends one command after the other; it does not wait for the last `loose` ones.
function chain(send, { steps, spread, loose }) {
  const fills = steps.map((words) => fill(words, spread));
  if (fills.length === 1) return (call) => send(fills[0](call));
  const awaited = fills.length - loose;
  return async (call) => {
    let answer;
    for (let step = 0; step < fills.length; step += 1) {
      const sent = send(fills[step](call, answer));
      if (step < awaited) answer = await sent;
    }
  };
}

async function inFlight(call, { first, count, width }) {
  let next = first;
  const run = async () => {
    while (next < first + count) {
      next += 1;
      await call(next - 1);
    }
  };
  await Promise.all(Array.from({ length: width }, run));
}

async function inBatches(call, { first, count, width }) {
  for (let done = 0; done < count; done += width) {
    const length = Math.min(width, count - done);
    await Promise.all(Array.from({ length }, (_, index) => call(first + done + index)));
  }
}

async function* calls(send, order) {
  const call = chain(send, order);
  const begin = clock();
  await (order.batch ? inBatches : inFlight)(call, order);
  const end = clock();
  await send(['PING']); // after the commands that no call waited for
  yield { begin, end };
}

async function* listen(start, order) {
  let left = order.messages;
  let done;
  const end = new Promise((resolve) => {
    done = resolve;
  });
  const stop = await start(order, () => {
    left -= 1;
    if (!left) done(clock());
  });
  yield { ready: true };
  yield { end: await end };
  await stop();
}

async function* hello() {
  yield {};
}

// Follow orders.  `send(words)` calls a command; `start(order, counter)` listens, calls counter()
// with each message, and returns a function that stops it.
export async function serve(send, start) {
  const work = {
    hello,
    calls: (order) => calls(send, order),
    listen: (order) => listen(start, order),
  };
  for await (const line of createInterface({ input: process.stdin })) {
    const order = JSON.parse(line);
    try {
      for await (const answer of work[order.do](order)) console.log(JSON.stringify(answer));
    } catch (error) {
      console.log(JSON.stringify({ error: String(error) }));
    }
  }
  process.exit();
}
