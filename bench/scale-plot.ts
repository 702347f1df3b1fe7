/** Small line and dot charts as SVG, for the documentation. */

export interface Series {
  readonly name: string;
  readonly colour: string;
  readonly points: readonly (readonly [x: number, y: number])[];
  /** Dots instead of a line. */
  readonly dots?: boolean;
}

export interface Chart {
  readonly title: string;
  readonly x: string;
  readonly y: string;
  readonly logX?: boolean;
  readonly logY?: boolean;
  /** Lower bound of y; 0 where absent (or the least value on a logarithmic axis). */
  readonly fromY?: number;
  readonly series: readonly Series[];
}

const [width, height] = [720, 400];
const area = { left: 76, right: 560, top: 44, bottom: 344 };
export const colours = ['#1b6ca8', '#c8553d', '#3a7d44', '#7b4b94', '#8a6d1f'] as const;

interface Axis {
  readonly at: (value: number) => number;
  readonly ticks: readonly number[];
}

/** The chart as the text of an SVG file. */
export function svg(chart: Chart): string {
  const points = chart.series.flatMap((series) => series.points);
  const xAxis = axis(
    points.map(([x]) => x),
    chart.logX ?? false,
    undefined,
    area.left,
    area.right,
  );
  const yAxis = axis(
    points.map(([, y]) => y),
    chart.logY ?? false,
    chart.fromY ?? 0,
    area.bottom,
    area.top,
  );
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12" fill="#222">`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    `<text x="${area.left}" y="24" font-size="15">${escape(chart.title)}</text>`,
    ...yAxis.ticks.map((tick) => horizontal(yAxis.at(tick), label(tick))),
    ...xAxis.ticks.map((tick) => text(xAxis.at(tick), area.bottom + 18, 'middle', label(tick))),
    text((area.left + area.right) / 2, area.bottom + 42, 'middle', chart.x),
    `<text transform="translate(18 ${(area.top + area.bottom) / 2}) rotate(-90)" text-anchor="middle">${escape(chart.y)}</text>`,
    ...chart.series.flatMap((series, index) => [...drawn(series, xAxis, yAxis), ...legend(series, index)]),
    '</svg>',
  ];
  return `${parts.join('\n')}\n`;
}

function axis(values: readonly number[], log: boolean, least: number | undefined, from: number, to: number): Axis {
  const scale = (value: number): number => (log ? Math.log10(value) : value);
  const used = log ? values.filter((value) => value > 0) : [...values, ...(least === undefined ? [] : [least])];
  const [low, high] = [scale(Math.min(...used)), scale(Math.max(...used))];
  const ticks = log ? decades(low, high) : rounded(low, high);
  const [first, last] = [Math.min(low, scale(ticks[0]!)), Math.max(high, scale(ticks.at(-1)!))];
  return { at: (value) => from + ((scale(value) - first) / (last - first || 1)) * (to - from), ticks };
}

/** Powers of ten, thinned to at most eight. */
function decades(low: number, high: number): number[] {
  const [from, to] = [Math.floor(low + 1e-9), Math.ceil(high - 1e-9)];
  const step = Math.max(1, Math.ceil((to - from) / 8));
  return Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, index) => 10 ** (from + index * step));
}

/** About six round numbers that cover the range. */
function rounded(low: number, high: number): number[] {
  const rough = (high - low || 1) / 5;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = unit * ([1, 2, 5].find((factor) => factor * unit >= rough) ?? 10);
  const first = Math.floor(low / step);
  return Array.from({ length: Math.ceil(high / step - 1e-9) - first + 1 }, (_, index) => Number(((first + index) * step).toPrecision(12)));
}

function label(value: number): string {
  if (value === 0 || (Math.abs(value) >= 0.001 && Math.abs(value) < 1e6)) return value.toLocaleString('en');
  return value.toExponential(0).replace('e+', 'e');
}

function drawn({ points, colour, dots }: Series, x: Axis, y: Axis): string[] {
  const visible = points.map(([px, py]) => [x.at(px), y.at(py)] as const).filter(([, py]) => Number.isFinite(py));
  if (dots) return visible.map(([px, py]) => `<circle cx="${px.toFixed(1)}" cy="${py.toFixed(1)}" r="4" fill="${colour}"/>`);
  return [
    `<polyline fill="none" stroke="${colour}" stroke-width="2" points="${visible.map(([px, py]) => `${px.toFixed(1)},${py.toFixed(1)}`).join(' ')}"/>`,
  ];
}

function legend({ name, colour, dots }: Series, index: number): string[] {
  const y = area.top + 10 + index * 20;
  const mark = dots
    ? `<circle cx="${area.right + 24}" cy="${y - 4}" r="4" fill="${colour}"/>`
    : `<path d="M${area.right + 14} ${y - 4}h20" stroke="${colour}" stroke-width="2"/>`;
  return [mark, text(area.right + 40, y, 'start', name)];
}

function horizontal(y: number, name: string): string {
  return `<path d="M${area.left} ${y.toFixed(1)}H${area.right}" stroke="#ddd"/>${text(area.left - 8, y + 4, 'end', name)}`;
}

function text(x: number, y: number, anchor: 'start' | 'middle' | 'end', content: string): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}">${escape(content)}</text>`;
}

function escape(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
