/** What is not seen, or changes how what stands beside it is shown: controls, marks of direction and of no width, halves of characters, separators. */
const unseen = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/**
 * Text for a person's terminal. Other hosts name themselves, and say why they refuse: what they say must neither steer the terminal nor pass for something else.
 * What is not seen is written as in JSON, so that JSON stays what it is.
 * @param isLine It is one line, or a part of one; otherwise line ends and tabs stay.
 */
export function visible(text: string, isLine = false): string {
  return text.replaceAll(unseen, (each) => (!isLine && (each === '\n' || each === '\t') ? each : escaped(each)));
}

function escaped(character: string): string {
  return Array.from({ length: character.length }, (_, at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`).join('');
}
