"""Free text translated into the words that FantasyID-Tiny knows: those of `people.prompts`, and their synonyms."""

from __future__ import annotations

import re

from ..people.prompts import vocabulary

_MEANS = {
    "turns": "turn turning rotates rotate rotating swivels",
    "shakes": "shake shaking",
    "nods": "nod nodding",
    "looks": "look looking gazes glances",
    "tilts": "tilt tilting leans leaning",
    "smiles": "smile grins grin grinning laughs laughing happy",
    "stops": "stop stopping",
    "opens": "open opening",
    "closes": "close closing shuts shut",
    "talks": "talk talking speaks speak speaking says chats",
    "blinks": "blink blinking winks wink",
    "raises": "raise raising lifts lift lifting",
    "brows": "eyebrows brow eyebrow",
    "mouth": "lips",
    "eyes": "eye eyelids",
    "zooms": "zoom zooming",
    "moves": "move moving travels",
    "background": "backdrop wall",
    "light": "lights lighting lit lamp",
    "grey": "gray silver",
    "red": "crimson scarlet",
    "blue": "navy azure",
    "purple": "violet lilac magenta",
    "pink": "rose",
    "teal": "turquoise cyan",
    "yellow": "golden",
    "brown": "beige tan",
    "left": "leftwards leftward",
    "right": "rightwards rightward",
    "up": "upwards upward",
    "down": "downwards downward",
    "above": "overhead",
    "and": "while then",
}
SYNONYMS = {other: word for word, others in _MEANS.items() for other in others.split()}
# These words are true of every clip, so leaving them out loses nothing.
SILENT = frozenset(
    "a an another of on with is are his her their its he she they it him s person man woman someone somebody boy"
    " girl lady guy people portrait video clip film picture photo face young old slowly quickly gently slightly softly"
    " very little bit towards toward against this that be".split()
)
_WORD = re.compile(r"[^\W\d_]+|[,.;:!?\n]")


def words_of(text: str) -> tuple[list[str], list[str]]:
    """The known words of a text, synonyms replaced, marks as commas; and the words that mean nothing here."""
    known, foreign = frozenset(vocabulary()), []
    words: list[str] = []
    for found in _WORD.findall(text.lower()):
        word = found if found in known else SYNONYMS.get(found, found)
        if word == "smiling" and words[-1:] != ["stops"]:
            word = "smiles"  # the prompts know "smiling" as what stops
        if not word[0].isalpha():
            word = ","
            if words[-1:] in ([], [","]):
                continue
        if word in known:
            words.append(word)
        elif word not in SILENT:
            foreign.append(found)
    while words[-1:] == [","]:
        words.pop()
    return words, foreign
