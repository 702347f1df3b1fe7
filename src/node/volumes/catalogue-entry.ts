/** What the catalogue keeps of a volume. */
export interface CatalogueEntry {
  readonly name: string;
  /** 32 hex digits, drawn at creation. */
  readonly id: string;
  /** RFC 3339. */
  readonly createdAt: string;
  /** Normalised, defaults included. */
  readonly options: Readonly<Record<string, string>>;
  /** It was removed then, and waits in the trash. RFC 3339. */
  readonly trashedAt?: string;
  /** In the trash: it is being brought back under this name, and is not deleted meanwhile. */
  readonly restoringAs?: string;
  /** In the trash: its data is being deleted, and it cannot be brought back. */
  readonly purging?: boolean;
}
