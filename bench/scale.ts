/**
 * The scale model: `node bench/scale.ts [--small]` runs the real placement for clusters of 3 to 1,000,000 hosts, prints what it
 * measures, and writes the figures and plots of docs/scale.md. `--small` stops at 10,000 hosts and writes nothing.
 */
import { readFileSync, writeFileSync } from 'node:fs';

import { addressKey, neighbourhood } from '../src/placement/index.ts';
import { type Balance, balanceOf, type Join, joinOf, modelBlock, modelRoster, placements, replication } from './scale-balance.ts';
import { KademliaModel } from './scale-lookup.ts';
import { seeded } from '../test/suites/seeded.ts';
import { type Loss, simulatedLoss, simulatedPairLoss, computedLoss } from './scale-loss.ts';
import { type Chart, colours, svg } from './scale-plot.ts';

const isSmall = process.argv.includes('--small');
const million = 1_000_000;
const sizes = [3, 10, 20, 30, 50, 100, 300, 1_000, 10_000, 100_000, million].filter((size) => !isSmall || size <= 10_000);
const lossSizes = [10, 20, 50, 100, 300, 1_000];
const lookups = 500;
const lossBlocks = 100_000;
/** Bounds the work of one simulation of losses. */
const maxLossVisits = 30_000_000;

interface Hops {
  readonly hosts: number;
  readonly mean: number;
  readonly max: number;
  readonly requests: number;
  /** Share of the look-ups that found exactly the neighbourhood that placement uses. */
  readonly exact: number;
}

/** Looks random blocks up from random hosts, and holds what was found against placement's own neighbourhood. */
function hopsOf(roster: ReturnType<typeof modelRoster>): Hops {
  const model = new KademliaModel(roster, 1);
  const random = seeded(roster.size);
  let [sum, max, requests, exact] = [0, 0, 0, 0];
  for (let index = 0; index < lookups; index++) {
    const address = modelBlock(index);
    const key = Buffer.from(addressKey(address), 'binary');
    const { hops, requests: asked, found } = model.lookUp(Math.floor(random() * roster.size), key.readInt32BE(0), key.readInt32BE(4));
    sum += hops;
    max = Math.max(max, hops);
    requests += asked;
    const near = new Set(neighbourhood(address, roster).map(({ peer }) => peer));
    if (found.length === near.size && found.every((host) => near.has(roster.eligible[host]!.peer))) exact++;
  }
  return { hosts: roster.size, mean: sum / lookups, max, requests: requests / lookups, exact: exact / lookups };
}

const balances: Balance[] = [];
const joins: Join[] = [];
const hops: Hops[] = [];
const losses: Loss[] = [];
let anyBlock = 0;

for (const hosts of sizes) {
  const begun = performance.now();
  const blocks = hosts === million ? million : hosts >= 1_000 ? 300_000 : 100_000;
  const roster = modelRoster(hosts);
  const chosen = placements(roster, blocks, replication);
  balances.push(balanceOf(chosen, hosts, blocks));
  // One newcomer in a million would move three of a million blocks: too few to count.
  joins.push(joinOf(roster, chosen, Math.max(1, hosts / 1_000), blocks));
  if (hosts >= 100) hops.push(hopsOf(roster));
  if (hosts === million) {
    const { loss, anyBlock: any } = simulatedPairLoss(chosen, hosts, 5_000_000, seeded(5));
    losses.push(loss);
    anyBlock = any;
  }
  console.log(
    `${hosts} hosts, ${blocks} blocks: ${((performance.now() - begun) / 1000).toFixed(1)} s, ${Math.round(process.memoryUsage().rss / 1e6)} MB`,
  );
}
for (const hosts of lossSizes) {
  const roster = modelRoster(hosts);
  for (const replicas of [3, 5, 9]) {
    const draws = Math.ceil(Math.min(20_000, maxLossVisits / ((10 * lossBlocks * replicas) / hosts)));
    losses.push(simulatedLoss(roster, replicas, lossBlocks, draws, seeded(hosts + replicas)));
  }
}
for (const replicas of [5, 9]) losses.push({ hosts: million, replicas, computed: computedLoss(million, replicas) });
losses.sort((a, b) => a.replicas - b.replicas || a.hosts - b.hosts);

const count = (value: number): string => value.toLocaleString('en');
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [`| ${head.join(' | ')} |`, `|${'---|'.repeat(head.length)}`, ...rows.map((row) => `| ${row.join(' | ')} |`)].join('\n');

const tables: Record<string, string> = {
  balance: table(
    ['hosts', 'blocks', 'min', 'mean', 'max', 'min ÷ mean', 'max ÷ mean', 'spread', 'of which dice'],
    balances.map(({ hosts, blocks, min, mean, max, spread, dice }) => [
      ...[hosts, blocks, min].map(count),
      mean.toFixed(1),
      count(max),
      (min / mean).toFixed(2),
      (max / mean).toFixed(2),
      `${(100 * spread).toFixed(1)} %`,
      `${(100 * dice).toFixed(1)} %`,
    ]),
  ),
  join: table(
    ['hosts', 'join', 'copies', 'copies moved', 'the newcomers’ share', 'moved ÷ share'],
    joins.map(({ hosts, joined, blocks, moved, ideal }) => [
      count(hosts),
      count(joined),
      count(blocks * replication),
      count(moved),
      ideal.toFixed(0),
      (moved / ideal).toFixed(2),
    ]),
  ),
  hops: table(
    ['hosts', 'hops, mean', 'hops, max', 'requests, mean', 'found exactly placement’s 20'],
    hops.map(({ hosts, mean, max, requests, exact }) => [
      count(hosts),
      mean.toFixed(2),
      `${max}`,
      requests.toFixed(1),
      `${(100 * exact).toFixed(1)} %`,
    ]),
  ),
  loss: table(
    ['replicas', 'hosts', 'computed', 'simulated', '± standard error', 'drawn'],
    losses.map(({ replicas, hosts, computed, simulated }) => [
      `${replicas}`,
      count(hosts),
      computed.toExponential(3),
      simulated?.probability.toExponential(3) ?? '(too rare)',
      simulated?.error.toExponential(1) ?? '',
      simulated === undefined ? '' : `${count(simulated.draws)} × ${count(simulated.blocks)} blocks`,
    ]),
  ),
  any: `With 5 dead of 1,000,000 hosts, the chance that **any** of 1,000,000 blocks of three replicas lost its majority was ${anyBlock.toExponential(2)} in 5,000,000 draws.`,
};
for (const [name, text] of Object.entries(tables)) console.log(`\n${name}\n${text}`);

const ofReplicas = (replicas: number): Loss[] => losses.filter((loss) => loss.replicas === replicas);
const charts: Record<string, Chart> = {
  balance: {
    title: 'Load of the least and the most loaded host',
    x: 'hosts',
    y: 'load ÷ mean',
    logX: true,
    series: [
      { name: 'most loaded', colour: colours[1], points: balances.map(({ hosts, max, mean }) => [hosts, max / mean]) },
      { name: 'mean', colour: colours[4], points: balances.map(({ hosts }) => [hosts, 1]) },
      { name: 'least loaded', colour: colours[0], points: balances.map(({ hosts, min, mean }) => [hosts, min / mean]) },
    ],
  },
  load: {
    title: 'How many hosts have how much',
    x: 'load ÷ mean',
    y: 'share of the hosts',
    series: balances
      .filter(({ hosts }) => [20, 1_000, 10_000, million].includes(hosts))
      .map(({ hosts, histogram }, index) => ({
        name: `${count(hosts)} hosts`,
        colour: colours[index]!,
        points: histogram.map((share, tenth) => [tenth / 10 + 0.05, share] as const),
      })),
  },
  join: {
    title: 'Copies moved when hosts join',
    x: 'hosts before',
    y: 'moved ÷ the newcomers’ share',
    logX: true,
    series: [
      { name: 'measured', colour: colours[0], points: joins.map(({ hosts, moved, ideal }) => [hosts, moved / ideal]) },
      { name: 'least possible', colour: colours[4], points: joins.map(({ hosts }) => [hosts, 1]) },
    ],
  },
  hops: {
    title: 'Requests one after another until the nearest host is known',
    x: 'hosts',
    y: 'hops',
    logX: true,
    series: [
      { name: 'longest', colour: colours[1], points: hops.map(({ hosts, max }) => [hosts, max]) },
      { name: 'mean', colour: colours[0], points: hops.map(({ hosts, mean }) => [hosts, mean]) },
    ],
  },
  loss: {
    title: 'Chance that a block loses its majority when 5 random hosts die',
    x: 'hosts',
    y: 'probability',
    logX: true,
    logY: true,
    series: [3, 5, 9].flatMap((replicas, index) => [
      {
        name: `${replicas} replicas, computed`,
        colour: colours[index]!,
        points: ofReplicas(replicas).map(({ hosts, computed }) => [hosts, computed] as const),
      },
      {
        name: `${replicas}, simulated`,
        colour: colours[index]!,
        dots: true,
        points: ofReplicas(replicas).flatMap(({ hosts, simulated }) => (simulated === undefined ? [] : [[hosts, simulated.probability] as const])),
      },
    ]),
  },
};

if (!isSmall) {
  for (const [name, chart] of Object.entries(charts)) writeFileSync(new URL(`../docs/scale-${name}.svg`, import.meta.url), svg(chart));
  const page = new URL('../docs/scale.md', import.meta.url);
  let text = readFileSync(page, 'utf8');
  for (const [name, figures] of Object.entries(tables)) {
    text = text.replace(new RegExp(`(<!-- ${name} -->\n)[^]*?(<!-- end -->)`), (_, open: string, close: string) => `${open}${figures}\n${close}`);
  }
  writeFileSync(page, text);
}
