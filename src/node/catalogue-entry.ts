/** What the catalogue keeps of a volume. `trashedAt`: it was removed then and waits in the trash under another name. */
export interface CatalogueEntry {
  readonly name: string;
  /** 32 hex digits, drawn at creation. */
  readonly id: string;
  /** RFC 3339. */
  readonly createdAt: string;
  /** Normalised, defaults included. */
  readonly options: Readonly<Record<string, string>>;
  readonly trashedAt?: string;
}
