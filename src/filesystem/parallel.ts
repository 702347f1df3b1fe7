/**
 * Does `work` for all items, `width` at a time, each taken when its turn comes. After a failure nothing further begins, and the failure is thrown only when all that had
 * begun has ended: whoever tries again never meets a straggler of the first attempt, which could write an older value over a newer one.
 */
export async function inParallel<T>(items: Iterable<T>, width: number, work: (item: T) => Promise<void>): Promise<void> {
  const iterator = items[Symbol.iterator]();
  let failure: { readonly error: unknown } | undefined;
  const worker = async (): Promise<void> => {
    while (failure === undefined) {
      try {
        const next = iterator.next();
        if (next.done === true) return;
        await work(next.value);
      } catch (error) {
        failure ??= { error };
      }
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
  if (failure !== undefined) throw failure.error;
}
