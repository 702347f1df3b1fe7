import type { LabHost } from './host.ts';
import { Namespaces } from './namespaces.ts';
import { must } from './process.ts';

const bridge = 'bridge';

/**
 * The network between the hosts of a lab: a bridge, and a cable to each. It is in a network namespace of its own, where no rule of the
 * machine's own engine cuts the hosts from each other, and nothing of it meets another lab's. The kernel removes all of it with its namespace.
 */
export class Cables implements AsyncDisposable {
  readonly #namespaces: Namespaces;

  private constructor(namespaces: Namespaces) {
    this.#namespaces = namespaces;
  }

  /**
   * @param directory of its own.
   * @param addresses of the hosts, with the length of their prefix, in the order of these.
   */
  static async between(hosts: readonly LabHost[], directory: string, addresses: readonly string[]): Promise<Cables> {
    await using stack = new AsyncDisposableStack();
    const cables = new Cables(stack.use(await Namespaces.create('cables', directory)));
    await cables.#ip('link', 'add', bridge, 'type', 'bridge');
    await cables.#ip('link', 'set', bridge, 'up');
    for (const [index, host] of hosts.entries()) {
      const outer = outerEnd(index);
      await cables.#ip('link', 'add', outer, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(host.pid));
      await cables.#ip('link', 'set', outer, 'master', bridge, 'up');
      await host.must('ip', ['addr', 'add', addresses[index]!, 'dev', 'eth0']);
      await host.must('ip', ['link', 'set', 'eth0', 'up']);
    }
    stack.move();
    return cables;
  }

  async cut(index: number): Promise<void> {
    await this.#ip('link', 'set', outerEnd(index), 'down');
  }

  async heal(index: number): Promise<void> {
    await this.#ip('link', 'set', outerEnd(index), 'up');
  }

  /** In the network namespace alone, as hosts are named by pids as seen from outside. */
  async #ip(...args: string[]): Promise<void> {
    await must('nsenter', ['-t', String(this.#namespaces.pid), '--net', '--', 'ip', ...args]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#namespaces[Symbol.asyncDispose]();
  }
}

/** The bridge's end of a host's cable. */
function outerEnd(index: number): string {
  return `h${index + 1}`;
}
