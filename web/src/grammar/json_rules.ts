/** What is JSON, in xgrammar's EBNF: the rules that every schema's grammar is made of. */

/** A character of a string that stands for itself. As a class of the string's own rule its masks cost nothing, as a rule 0.2 s each of 262144 tokens. */
export const PLAIN = String.raw`[^"\\\x00-\x1f]`;
/** Up to here a string of bounded length is classes one by one, each of which takes 0.07 s to compile; longer ones have masks that are slow instead. */
export const MOST_CLASSES = 48;

/** White space is what a model writes that is at it: none, a space, or a new line and its indentation; so none is followed by other white space. */
export const BASE = String.raw`
ws ::= "" | " " | "\n" (" "{0,20} | "\t"{0,8})
colon ::= " "? ":" " "?
hex ::= [0-9a-fA-F]
escape ::= "\\" (["\\/bfnrt] | "u" ([0-9a-cefA-CEF] hex hex hex | [dD] [0-7] hex hex))
char ::= ${PLAIN}
string ::= "\"" ${PLAIN}* (escape ${PLAIN}*)* "\""
integer ::= "0" | "-"? [1-9] [0-9]{0,14}
number ::= "-"? ("0" | [1-9] [0-9]{0,14}) ("." [0-9]{1,15})? ([eE] [+-]? [0-9]{1,2})?
boolean ::= "true" | "false"
null ::= "null"
object ::= "{" ws (string colon value ("," ws string colon value)* ws)? "}"
array ::= "[" ws (value ("," ws value)* ws)? "]"
value ::= object | array | string | number | boolean | null
date ::= [0-9]{4} "-" (("0" [13578] | "1" [02]) "-" ("0" [1-9] | [12] [0-9] | "3" [01]) | ("0" [469] | "11") "-" ("0" [1-9] | [12] [0-9] | "30") | "02-" ("0" [1-9] | "1" [0-9] | "2" [0-8]))
time ::= ([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9] ("." [0-9]{1,9})? ("Z" | [+-] ([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9])
uuid ::= hex{8} "-" hex{4} "-" hex{4} "-" hex{4} "-" hex{12}
`;
export const FORMATS: Record<string, string> = { date: "date", time: "time", "date-time": 'date "T" time', uuid: "uuid" };
